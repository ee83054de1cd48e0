"""What a message reads as, and what is kept of it as data."""

from __future__ import annotations

from typing import Any

import pytest

from kapso_sync.formats.content import basename, readable
from tests.test_formats import inbound, items_of, meta, only, outbound

ATTACHMENT = "Image attached (a.png) [Size: 1 MB] URL: https://app.kapso.ai/blobs/secret/a.png"


def content_of(kind: str, typed: Any, /, **kapso: Any) -> str:
    return readable(kind, {"type": kind, kind: typed, "kapso": kapso})


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("text", {"body": "  "}, "  "),
        ("text", {"body": "=1+1 <b>"}, "=1+1 <b>"),
        ("text", {"body": ["no"]}, "[text]"),
        ("text", {}, "[text]"),
        ("text", "hola", "[text]"),
        ("image", {"caption": "mira"}, "mira"),
        ("image", {"caption": " "}, "Photo"),
        ("image", {}, "Photo"),
        ("image", None, "[image]"),
        ("video", {"caption": 5}, "Video"),
        ("audio", {"voice": True}, "Voice message"),
        ("audio", {"voice": "true"}, "Audio"),
        ("document", {"caption": "la factura", "filename": "f.pdf"}, "la factura"),
        ("document", {"filename": "..\\..\\x/fact\nura.pdf"}, "factura.pdf"),
        ("document", {"filename": "a/.."}, "Document"),
        ("document", {}, "Document"),
        ("sticker", {"animated": True}, "Sticker"),
        ("location", {"name": "Mercado", "address": "Lima"}, "Mercado, Lima"),
        ("location", {"latitude": -12.1171, "longitude": "-77.02490"}, "-12.1171, -77.0249"),
        ("location", {"latitude": 1e-7, "longitude": 180}, "0, 180"),
        ("location", {"latitude": 1e300, "longitude": True}, "Location"),
        ("contacts", [{"name": {"formatted_name": "Ana"}}], "Ana"),
        ("contacts", [{"phones": []}, 5, {"name": {"formatted_name": "Ana"}}], "Ana and 1 more"),
        ("contacts", [{}], "Contact"),
        ("contacts", [], "[contacts]"),
        ("interactive", {"type": "button_reply", "button_reply": {"title": "Sí"}}, "Sí"),
        ("interactive", {"type": "list_reply", "list_reply": {"title": "L"}}, "L"),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"name": "alta"}}, "Form: alta"),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"name": "address_message"}}, "Address"),
        ("interactive", {"type": "nfm_reply"}, "Form"),
        ("interactive", {"type": "call_permission_reply"}, "Interactive reply"),
        ("interactive", {"type": "cta_url", "body": {"text": "Ver"}}, "Ver"),
        ("interactive", {"type": "product"}, "Interactive message"),
        ("button", {"text": "Sí", "payload": "YES"}, "Sí"),
        ("button", {"payload": "YES"}, "[button]"),
        ("template", {"name": "bienvenida"}, "Template: bienvenida"),
        ("template", {}, "[template]"),
        ("reaction", {"emoji": "👍"}, "Reacted 👍"),
        ("reaction", {"emoji": ""}, "Removed a reaction"),
        ("reaction", {"message_id": "w"}, "Removed a reaction"),
        ("edit", {"message": {"type": "text", "text": {"body": "12"}}}, "12"),
        ("edit", {"message": {"type": "image", "image": {}}}, "Photo"),
        ("edit", {"message": {"type": "edit", "edit": {}}}, "[edit]"),
        ("revoke", {}, "Message deleted"),
        ("system", {"body": "changed"}, "changed"),
        ("system", {}, "System message"),
        ("unsupported", {"type": "hsm"}, "Unsupported message"),
        ("media_placeholder", None, "Media"),
        ("request_welcome", None, "Opened the chat"),
        ("event_invite", {"title": "x"}, "[event_invite]"),
    ],
)
def test_each_type_has_its_words(kind: str, content: object, expected: str) -> None:
    assert content_of(kind, content) == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([{"quantity": 2, "item_price": 49.9, "currency": "BRL"}, {"quantity": "1", "item_price": "49.90", "currency": "brl"}], "Order: 3 items — 149.70 BRL"),
        ([{"quantity": 1, "item_price": 0.1, "currency": "USD"}], "Order: 1 item — 0.10 USD"),
        ([{"quantity": 1, "item_price": 1, "currency": "USD"}, {"quantity": 1, "item_price": 1, "currency": "BRL"}], "Order: 2 items"),
        ([{"quantity": "many", "item_price": 1, "currency": "USD"}], "Order: 1 item"),
        ([{"quantity": 5, "item_price": "NaN", "currency": "USD"}], "Order: 5 items"),
        ([{"quantity": 5, "item_price": "1e99999", "currency": "USD"}], "Order: 5 items"),
        ([{"quantity": True, "item_price": -1, "currency": {}}], "Order: 1 item"),
        ([], "Order"),
        ("x", "Order"),
    ],
)  # fmt: skip
def test_an_order_is_counted_and_totalled_only_where_it_can_be(items: object, expected: str) -> None:
    assert content_of("order", {"product_items": items}) == expected


@pytest.mark.parametrize("kind", ["image", "video", "audio", "document", "sticker", "reaction", "gif"])
def test_kapso_content_is_never_the_text_of_media(kind: str) -> None:
    assert "URL" not in content_of(kind, {"id": "1"}, content=ATTACHMENT, has_media=True)
    assert "URL" not in content_of(kind, [], content=ATTACHMENT, has_media=True)


def test_kapso_content_is_the_last_resort_without_media() -> None:
    assert content_of("poll", {}, content="Poll: lunch?", has_media=False) == "Poll: lunch?"
    assert content_of("poll", {}, content=" ", has_media=False) == "[poll]"
    assert content_of("poll", {}, content={"a": 1}) == "[poll]"


@pytest.mark.parametrize("marker", ["[plantilla: alta]", "[template]", "alta", "", None, 5])
def test_a_template_marker_is_no_text(marker: object) -> None:
    assert content_of("template", {"name": "alta"}, content=marker) == "Template: alta"


def test_a_rendered_template_is_its_text() -> None:
    assert content_of("template", {"name": "alta"}, content="Hola Ana", has_media=False) == "Hola Ana"
    assert content_of("template", {"name": "alta"}, content=ATTACHMENT, has_media=True) == "Template: alta"


def test_media_flags_may_contradict_the_type() -> None:
    image = {"type": "image", "image": {"id": "1"}}
    assert (
        only(items_of(inbound(kapso={"direction": "inbound", "has_media": False}, **image))).content
        == "Photo"
    )
    assert only(items_of(inbound(kapso={"direction": "inbound", "has_media": True}))).content == "hola"


def test_a_caption_may_be_told_beside_the_image() -> None:
    assert content_of("image", {"id": "1"}, message_type_data={"caption": "mira"}, has_media=True) == "mira"


def test_a_name_of_a_file_is_no_path() -> None:
    assert basename("/etc/../pass\nwd") == "passwd"
    assert basename("C:\\x\\y.pdf ") == "y.pdf"
    assert basename("..") == basename(5) == ""


def test_the_text_itself_decides_not_its_status() -> None:
    event = only(items_of(inbound(kapso={"direction": "inbound", "status": "reaction"})))
    assert (event.message_type, event.content) == ("text", "hola")


def test_a_transcript_is_kept_apart() -> None:
    kapso = {"direction": "inbound", "transcript": {"text": "dos cajas"}, "content": ATTACHMENT}
    event = only(items_of(inbound(type="audio", audio={"voice": True}, kapso=kapso)))
    assert (event.content, event.transcript) == ("Voice message", "dos cajas")


def test_what_kapso_knows_of_a_file_is_kept_and_its_address_told() -> None:
    data = {
        "url": "https://app.kapso.ai/b",
        "filename": "../a.png",
        "content_type": "image/png",
        "byte_size": 5,
        "x": 1,
    }
    kapso = {"direction": "inbound", "has_media": True, "media_data": data}
    event = only(items_of(inbound(type="image", image={"id": "1"}, kapso=kapso)))
    assert event.media_url == "https://app.kapso.ai/b"
    assert event.payload["media"] == {"filename": "a.png", "content_type": "image/png", "byte_size": 5}


def test_a_form_answer_is_parsed_and_bad_json_stays_text() -> None:
    form = {"type": "nfm_reply", "nfm_reply": {"name": "alta", "response_json": '{"a": "b\\u0000"}'}}
    event = only(items_of(inbound(type="interactive", interactive=form)))
    assert event.payload["response"] == {"a": "b\ufffd"}
    form["nfm_reply"] = {"name": "alta", "response_json": '{"a": NaN}'}
    event = only(items_of(inbound(type="interactive", interactive=form)))
    assert "response" not in event.payload
    assert event.payload["nfm_reply"]["response_json"] == '{"a": NaN}'


def test_a_reply_names_its_message_and_a_product_enquiry_none() -> None:
    assert only(items_of(inbound(context={"id": "wamid.Q", "from": "1"}))).reply_to == "wamid.Q"
    product = {"id": "wamid.Q", "referred_product": {"product_retailer_id": "SKU"}}
    event = only(items_of(inbound(context=product)))
    assert event.reply_to == ""
    assert event.payload["context"] == {"referred_product": {"product_retailer_id": "SKU"}}


@pytest.mark.parametrize("context", [None, [], {"id": ""}, {"id": 5}, {"forwarded": True}])
def test_a_context_without_an_id_is_no_reply(context: object) -> None:
    assert only(items_of(inbound(context=context))).reply_to == ""


def test_a_forward_is_flagged() -> None:
    assert only(items_of(inbound(context={"forwarded": True}))).payload["context"] == {"forwarded": True}


@pytest.mark.parametrize(
    ("kind", "key"),
    [("reaction", "message_id"), ("edit", "original_message_id"), ("revoke", "original_message_id")],
)
def test_what_acts_on_a_message_names_its_target(kind: str, key: str) -> None:
    assert only(items_of(inbound(type=kind, **{kind: {key: "wamid.T"}}))).target == "wamid.T"
    assert only(items_of(inbound(type=kind, **{kind: {key: ["wamid.T"]}}))).target == ""


def test_a_referral_is_kept_clean() -> None:
    event = only(items_of(inbound(referral={"source_id": "1", "headline": "a\x00"})))
    assert event.referral == {"source_id": "1", "headline": "a\ufffd"}
    assert only(items_of(inbound(referral={}))).referral is None


def test_an_unknown_type_keeps_its_data() -> None:
    event = only(items_of(inbound(type="poll_vote", poll_vote=[1, 2])))
    assert (event.content, event.payload) == ("[poll_vote]", {"poll_vote": [1, 2]})


def test_a_missing_type_is_read_from_what_is_there() -> None:
    assert only(items_of(inbound(type=None))).message_type == "text"
    assert only(items_of(inbound(type=7, text=None))).message_type == "unknown"


def test_our_own_send_is_recognised_by_its_callback_data() -> None:
    statuses = [{"status": "sent"}, {"status": "read", "biz_opaque_callback_data": "ours-1"}]
    event = only(items_of(outbound(kapso={"direction": "outbound", "statuses": statuses})))
    assert event.payload["callback_data"] == "ours-1"


def test_message_type_data_is_kept_only_where_the_content_is_missing() -> None:
    kapso = {"direction": "outbound", "message_type_data": {"name": "alta"}}
    assert only(items_of(outbound(type="template", kapso=kapso))).payload == {
        "message_type_data": {"name": "alta"}
    }
    assert "message_type_data" not in only(items_of(outbound(kapso=kapso))).payload


def test_contact_cards_stay_a_list() -> None:
    card = {"name": {"formatted_name": "Ana"}}
    event = only(
        items_of(meta(messages=[{"id": "w", "from": "51987650110", "type": "contacts", "contacts": [card]}]))
    )
    assert event.payload == {"contacts": [card]}
