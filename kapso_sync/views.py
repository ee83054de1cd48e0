"""The webhook: verify, store, normalise, sync, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.template.response import SimpleTemplateResponse
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from contacts.models import PhoneNumber
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


class AlwaysJson(DefaultContentNegotiation):
    """Kapso takes a 406 for a failure: whatever a webhook says that it accepts, the answer is JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ARG002
        return renderers[0], renderers[0].media_type


class Refused(APIException):
    """The few answers that are not 200, each with what is to be done about it (DESIGN.md section 3, Deliveries)."""

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code = status_code


class KapsoWebhookView(APIView):
    """`POST /webhooks/kapso/`. Whatever is signed is stored and answered 200: an error of ours is never Kapso's."""

    http_method_names = ["post"]
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AlwaysJson
    # As far as the request got, for counting what came of it.
    delivery: WebhookDelivery | None = None
    numbers: list[PhoneNumber] | None = None
    in_turn: Collection[int] = ()

    def get_exception_handler(self) -> Any:
        return exception_handler

    def post(self, request: Request) -> Response:
        body = _read(request)
        headers = {name: clean_text(value) for name, value in request.headers.items()}
        delivery = self.delivery = WebhookDelivery.of(body, headers, received_at=timezone.now())
        arrival = Arrival(delivery, request.headers.get("X-Webhook-Signature", ""))
        entrance.receive(arrival, aside=request.META.get(ASIDE, nullcontext))
        self.numbers, self.in_turn = arrival.numbers, arrival.in_turn
        if arrival.error:
            raise _refusal(arrival, request) from arrival.error
        return Response({"status": delivery.status, "delivery": delivery.pk})

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        counting.answered(response, self.delivery, self.numbers)
        if self.delivery is not None:
            ask_for_retries(request, are_due=self.delivery.others_are_due)
        if response.status_code == 200:
            ask_for_turns(request, self.in_turn)
        return response


def _read(request: Request) -> bytes:
    """The exact bytes. Django takes a body of unknown length for an empty one; a proxy may send it in chunks."""
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        chunks: bytes = request.META["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(chunks) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise Refused(413, "Larger than 8 MB.")
        return chunks
    try:
        return request._request.body  # noqa: SLF001 - DRF's own `body` goes through its parsers
    except RequestDataTooBig as error:
        logger.warning("refused a webhook of %s bytes: over the limit", request.META.get("CONTENT_LENGTH"))
        raise Refused(413, "Larger than 8 MB.") from error
    except UnreadablePostError as error:
        raise Refused(400, "The connection closed before the body was complete.") from error


def _refusal(arrival: Arrival, request: Request) -> Refused:
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
    receive: Callable[[HttpRequest], HttpResponse] = KapsoWebhookView.as_view()

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path_info != ADDRESS:
            return get_response(request)
        response = receive(request)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        response.headers["Content-Length"] = str(len(response.content))  # or it ends with its connection
        return response

    return answer
