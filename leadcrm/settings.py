"""Settings: one file, configured by the environment alone. The README has the table of variables.

Without `DATABASE_URL` this is somebody trying leadcrm out on their own machine: an embedded PostgreSQL, a generated
secret key under `.local/`, plain HTTP on loopback. With it, this is production: a secret key is required and the
site insists on HTTPS (see `HTTPS`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from environs import Env, validate

from leadcrm.databases import databases
from leadcrm.local import local_secret_key, local_webhook_secret
from leadcrm.mail_url import mail_settings
from leadcrm.version import code_version

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
# Tells the code that runs from any other, also where both call themselves 0.1.0: each attempt at a delivery has it.
CODE_VERSION = code_version(VERSION, BASE_DIR)

env = Env()

# Everything that belongs to this checkout and to nobody else: database, key, login. Never in version control.
LOCAL_DIR = Path(env.str("LOCAL_DIR", "") or BASE_DIR / ".local")

DEBUG = env.bool("DEBUG", default=False)
DATABASE_URL = env.str("DATABASE_URL", "")
TRYING_OUT = not DATABASE_URL

# Production refuses to start without one: a generated key would differ per machine.
SECRET_KEY = env.str("SECRET_KEY", "") or (local_secret_key(LOCAL_DIR) if TRYING_OUT else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Set SECRET_KEY to a long random text and keep it: DATABASE_URL is set, so this is production. "
        'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
    )
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[])
KAPSO_WEBHOOK_SECRETS = [
    item.strip() for item in env.str("KAPSO_WEBHOOK_SECRET", "").split(",") if item.strip()
]
if TRYING_OUT and not KAPSO_WEBHOOK_SECRETS:
    KAPSO_WEBHOOK_SECRETS = [local_webhook_secret(LOCAL_DIR)]
KAPSO_API_KEY = env.str("KAPSO_API_KEY", "")
KAPSO_API_BASE_URL = env.str("KAPSO_API_BASE_URL", "https://api.kapso.ai")
# What Prometheus brings to read /metrics; without one only superusers read it.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
PORT = env.int("PORT", default=8000)
# After so many days the bodies of deliveries are cleared (kapso_sync.retention); 0 keeps them for ever.
RETENTION_DAYS = env.int("RETENTION_DAYS", default=365, validate=validate.Range(min=0, max=36_500))

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [f"https://{host.lstrip('.')}" for host in ALLOWED_HOSTS if host != "*"]

# HTTPS is the business of the proxy in front; these make sure that nobody gets around it.
HTTPS = env.bool("HTTPS", default=not TRYING_OUT)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
# Kapso takes a redirect for a failure and switches the webhook off; the body is signed, so nothing depends on it.
SECURE_REDIRECT_EXEMPT = [r"^webhooks/"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS


def site_url() -> str:
    """Where people reach this site, for links in mails: as told, else the first host that it may be asked for by."""
    if told := env.str("SITE_URL", "").rstrip("/"):
        return told
    named = [host for host in ALLOWED_HOSTS if not host.startswith((".", "*"))]
    if TRYING_OUT or not named:
        return f"http://127.0.0.1:{PORT}"
    return f"{'https' if HTTPS else 'http'}://{named[0]}"


SITE_URL = site_url()

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "procrastinate.contrib.django",
    "leadcrm",
    "contacts",
    "kapso_sync",
    "api",
]

MIDDLEWARE = [
    "kapso_sync.afterwards.retries_after_answers",
    "kapso_sync.views.webhooks_first",
    "leadcrm.health.Probes",  # first: whoever probes comes by address, and without HTTPS
    "leadcrm.replica.ReadsFromReplica",  # not there without one
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "contacts.localising.Localised",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers in place of a login that is locked out
]

ROOT_URLCONF = "leadcrm.urls"
WSGI_APPLICATION = "leadcrm.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


# Whether DATABASE_URL leads to one, in transaction mode. For commands, see go_past_pgbouncer.
PGBOUNCER = env.bool("PGBOUNCER", default=False)
DATABASES = databases(url=DATABASE_URL, replica_url=env.str("REPLICA_URL", ""), pgbouncer=PGBOUNCER)
DATABASE_ROUTERS = ["leadcrm.replica.Router"] if "replica" in DATABASES else []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "leadcrm.accounts.Backend"]
PASSWORD_RESET_TIMEOUT = 24 * 3600

# After so many wrong passwords for one name from one address, that pair waits. Others, and the same person elsewhere,
# do not: nobody can lock somebody else out.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # trying on does not prolong the wait
AXES_CLIENT_IP_CALLABLE = "leadcrm.throttling.client_address"
AXES_USERNAME_CALLABLE = "leadcrm.throttling.name_of"
AXES_LOCKOUT_CALLABLE = "leadcrm.throttling.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # who came when is nobody's business here
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# Invitations, new passwords and digests; without it links are shown to be passed on by hand.
EMAIL_URL = env.str("EMAIL_URL", "")
CAN_MAIL = bool(EMAIL_URL)
vars().update(mail_settings(EMAIL_URL))
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", "") or "leadcrm@localhost"

# The worker of background jobs (kapso_sync.tasks). Two at a time: a long one does not keep the retries waiting.
PROCRASTINATE_WORKER_DEFAULTS = {
    "concurrency": 2,
    "delete_jobs": "always",  # what a job has to do is in the tables; an error is in the log
    "shutdown_graceful_timeout": 10,  # as the web server's: shorter than a process manager waits before it kills
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español"), ("pt-br", "Português (Brasil)")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = LOCAL_DIR / "static"

# Meta's own payloads reach 3 MB and one history webhook describes thousands of messages (CONTRACT.md 3.9).
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# Of every view but the webhook, which says for itself what it takes and answers.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.authentication.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["api.authentication.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["api.throttling.PerToken"],
    "DEFAULT_PARSER_CLASSES": ["api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS: what there is stands in the schema
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "api.answering.handler",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# How often each token may come; more is refused until the minute is over (api.throttling).
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=600, validate=validate.Range(min=1))
SPECTACULAR_SETTINGS = {
    "TITLE": "leadcrm",
    "DESCRIPTION": "Leads, which are called contacts here, their conversations, and what a team does with them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["api.views.schema.only_ours"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.views.schema.with_idempotency",
        "api.schema_problems.with_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "LeadStatus": "contacts.models.LeadStatus",
        "MessageStatus": "contacts.models.Message.Status",
        "DeliveryStatus": "kapso_sync.models.WebhookDelivery.Status",
        "Role": "contacts.models.Role",
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # `?fields=` leaves out what was not asked for.
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
    "SWAGGER_UI_DIST": "SIDECAR",  # from our own static files: it works offline
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "persistAuthorization": False,
        "displayRequestDuration": True,
        "deepLinking": True,
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"kapso_sync": {"level": "INFO"}, "contacts": {"level": "INFO"}},
}

# Who logs in without being on the way somewhere begins at the first page.
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"


def _menu_item(title: Any, icon: str, page: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{page}_changelist")} | more


def _asset(name: str) -> Callable[[HttpRequest], str]:
    return lambda _: static(f"contacts/{name}")


_FOR_MANAGERS = {"permission": "leadcrm.admin.manages"}
_FOR_SUPERUSERS = {"permission": "leadcrm.admin.is_superuser"}

UNFOLD = {
    "SITE_TITLE": "leadcrm",
    "SITE_HEADER": "leadcrm",
    "SITE_SYMBOL": "forum",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _asset("favicon.svg")}],
    "SITE_URL": None,  # there is no other site to view
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "leadcrm.admin.dashboard",
    "GLOBAL_CALLBACK": "leadcrm.welcome.every_page",
    "STYLES": [
        _asset(f"{name}.css") for name in ("admin", "list", "work", "told", "start", "people", "files")
    ],
    "SCRIPTS": [_asset(f"{name}.js") for name in ("zone", "admin", "list", "work", "keys", "told", "files")],
    "ACCOUNT": {
        "navigation": [
            {"title": _("Preferences"), "link": reverse_lazy("preferences")},
            {"title": _("API tokens"), "link": reverse_lazy("api-tokens")},
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
        ]
    },
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    _menu_item(
                        _("Leads"), "forum", "contacts_contact", active="leadcrm.admin.is_among_leads"
                    ),
                    {
                        "title": _("Possible duplicates"),
                        "icon": "merge",
                        "link": reverse_lazy("admin:contacts_contact_duplicates"),
                    }
                    | _FOR_MANAGERS,
                    {
                        "title": _("Reports"),
                        "icon": "bar_chart",
                        "link": reverse_lazy("reports"),
                        "permission": "contacts.admin.reports.is_manager",
                    },
                    _menu_item(
                        _("Deliveries"), "move_to_inbox", "kapso_sync_webhookdelivery", **_FOR_MANAGERS
                    ),
                    {
                        "title": _("Numbers' health"),
                        "icon": "monitor_heart",
                        "link": reverse_lazy("numbers-health"),
                    },
                    {"title": _("Drift"), "icon": "trending_up", "link": reverse_lazy("drift")}
                    | _FOR_SUPERUSERS,
                    _menu_item(_("Workspaces"), "groups", "contacts_workspace"),
                    _menu_item(_("Numbers"), "call", "contacts_phonenumber", **_FOR_SUPERUSERS),
                    _menu_item(_("Users"), "person", "auth_user", **_FOR_SUPERUSERS),
                ]
            }
        ]
    },
}
