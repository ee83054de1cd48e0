"""The webhook: verify, store, normalise, sync, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from kapso_sync import counting
from kapso_sync.afterwards import ask_for_retries, ask_for_turns
from kapso_sync.arrivals import Arrival, entrance
from kapso_sync.formats.reading import clean_text
from kapso_sync.models import WebhookDelivery
from kapso_sync.signature import BadSignature, SecretUnreadable

logger = logging.getLogger(__name__)


ADDRESS = "/webhooks/kapso/"
# Where a server that knows turns says how to step aside for others (leadcrm.turns).
ASIDE = "leadcrm.aside"


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The few answers that are not 200, each with what is to be done about it (DESIGN.md section 3, Deliveries)."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


@csrf_exempt
def receive_webhook(request: HttpRequest) -> HttpResponse:
    """`POST /webhooks/kapso/`. Whatever is signed is stored and answered 200: an error of ours is never Kapso's."""
    arrival, refusal = None, ""
    try:
        arrival = _arrival(request)
        entrance.receive(arrival, aside=request.META.get(ASIDE, nullcontext))
        answer = _stored(arrival, request)
    except Refused as refused:
        refusal = str(refused)
        answer = JsonResponse({"detail": refusal}, status=refused.status, headers=refused.headers)
    counting.answered(answer, arrival, refusal=refusal)
    return answer


def _arrival(request: HttpRequest) -> Arrival:
    if request.method != "POST":
        raise Refused(405, "Not a POST.", headers={"Allow": "POST"})
    body = _read(request)
    headers = {name: clean_text(value) for name, value in request.headers.items()}
    delivery = WebhookDelivery.of(body, headers, received_at=timezone.now())
    return Arrival(delivery, request.headers.get("X-Webhook-Signature", ""))


def _stored(arrival: Arrival, request: HttpRequest) -> JsonResponse:
    ask_for_retries(request, are_due=arrival.delivery.others_are_due)
    if arrival.error:
        raise _refusal(arrival, request) from arrival.error
    ask_for_turns(request, arrival.in_turn)
    return JsonResponse({"status": arrival.delivery.status, "delivery": arrival.delivery.pk})


def _read(request: HttpRequest) -> bytes:
    """The exact bytes. Django takes a body of unknown length for an empty one; a proxy may send it in chunks."""
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        chunks: bytes = request.META["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(chunks) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise Refused(413, "Larger than 8 MB.")
        return chunks
    try:
        return request.body
    except RequestDataTooBig as error:
        logger.warning("refused a webhook of %s bytes: over the limit", request.META.get("CONTENT_LENGTH"))
        raise Refused(413, "Larger than 8 MB.") from error
    except UnreadablePostError as error:
        raise Refused(400, "The connection closed before the body was complete.") from error


def _refusal(arrival: Arrival, request: HttpRequest) -> Refused:
    if isinstance(arrival.error, BadSignature):
        sender = request.META.get("REMOTE_ADDR")
        logger.warning("refused a webhook: not signed with a secret of ours (from %s)", sender)
        if not arrival.signature:
            return Refused(401, "There is no X-Webhook-Signature.")
        return Refused(401, "The signature matches no secret of this number, nor a project-wide one.")
    if isinstance(arrival.error, SecretUnreadable):
        logger.error("a number's webhook secret cannot be decrypted: check ENCRYPTION_KEYS or enter it again")
        return Refused(503, "The secret of this number cannot be read. Send it again later.")
    logger.error("a webhook could not be stored: Kapso is asked to send it again", exc_info=arrival.error)
    return Refused(503, "Could not be stored just now. Send it again.")


def webhooks_first(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a webhook needs none of those that come after this one. It has no session, no user, no language, and
    is trusted for its signature alone, by whatever host name it came."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path_info != ADDRESS:
            return get_response(request)
        response = receive_webhook(request)
        response.headers["Content-Length"] = str(len(response.content))  # or it ends with its connection
        return response

    return answer
