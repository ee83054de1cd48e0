"""The API for other programs, under /api/v1/. HTTP is here; what a lead is, and who may do what, is in `contacts`.

What a resource builds on:

- `api.views.base.ApiView`: first among the bases of every view (`class Rows(ApiView, GenericViewSet)`). Each request has
  `request.user`, `request.auth` (the `Token`, with `scopes`) and `request.rights` (`contacts.rights.Rights`, asked once;
  also `self.rights`). Reads are in no transaction. A write is in one, which an exception rolls back whole; its
  Idempotency-Key is seen to. Who lacks the scope is refused, and so is a query parameter that is not in
  `self.parameters()`: those of `filterset_class` and of the paginator (its `parameters`) for lists, and
  `more_parameters` everywhere. Answers are English and in UTC, whatever the browser says.
- `api.problems`: `raise Problem(slug, detail, errors=..., headers=..., **more)`; its status and title are those of the slug
  in `KINDS`, where a new one is added. `forbidden`, `conflict`, `stale`, `invalid_parameter(s)`, `invalid_fields`,
  `invalid_header` and `merged_away` are the usual ones.
- `api.answering` (and `api.views.outside`, where no view was reached): the handler that makes a problem of every
  exception: what DRF and Django raise, and what the services of `contacts` do (`Refused`, `Stale`, `TransitionRefused`,
  `MergeRefused`, and being in each other's way).
- `api.parsing.StrictJSONParser`: the only parser, unless a view names others.
- `api.tokens`: `issue(user, ...)` answers a token and its text, `use(text)`, `revoke(token)`.
- `api.idempotency`: answers that are kept to be given again.
- `api.views.schema`: how the description at /api/schema/ is made, once per process, of what is below /api/v1/. Every write
  has the parameter Idempotency-Key there without saying so. `api.problems.as_table()` is for docs/api.md.
- `api.views.rows`: `Rows` with `Listed` and `Retrieved`. A resource says what is `visible`, what a page needs beside its own
  columns (`dressed`), what an edit goes by (`version`), and what it is called; a write is a method with `@operation`, its
  body a `Body` (`self.body(...)`), its row `self.held(pk)`. Each body and answer has its example in `api.examples`.
- `tests.api.Program.of(user)`: a program with a token, for tests; `Api(user)`: the same in fewer words.
"""
