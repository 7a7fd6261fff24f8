"""Settings: one file, a topic a block. The README's table lists what the environment may say."""

from __future__ import annotations

import math
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from kling_platform import env

BASE_DIR = Path(__file__).resolve().parent.parent
TESTING = env.flag("KLING_TESTING", default=False)
VAR_DIR = env.folder("VAR_DIR", BASE_DIR / "var")

# --- who we are -------------------------------------------------------------
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY and (DEBUG or TESTING or "collectstatic" in sys.argv):
    SECRET_KEY = secrets.token_urlsafe(
        50
    )  # dies with the process; without DEBUG kling.E001 asks for a real one
PORT = env.number("PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.url("PUBLIC_URL", f"http://127.0.0.1:{PORT}")
HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "127.0.0.1,localhost")
if (public_host := urlsplit(PUBLIC_URL).hostname) and public_host not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(public_host)

ROOT_URLCONF = "kling_platform.urls"
WSGI_APPLICATION = "kling_platform.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False

INSTALLED_APPS = [
    "kling_platform",
    "accounts",
    "generations",
    "accounts.admin_site.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_q",
    "csp",
]

MIDDLEWARE = [
    # Outermost, so that whatever answers below them (a redirect, a refused host, a static file) carries them.
    "kling_platform.middleware.security_headers",
    "kling_platform.middleware.database_away",
    "kling_platform.middleware.remember_address",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "kling_platform.middleware.programs_pass_by",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------
DATABASES = {"default": env.database("DATABASE_URL", VAR_DIR / "db.sqlite3")}

# --- people -----------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "signin"
LOGIN_REDIRECT_URL = "library"
LOGOUT_REDIRECT_URL = "signin"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A quota beyond this is a typing error; sums of it stay far from the edge of a BIGINT.
MAX_CREDITS = 1_000_000_000_000

# --- languages and time -----------------------------------------------------
USE_TZ = True
TIME_ZONE = env.zone("TIME_ZONE", "UTC")
LANGUAGE_CODE = env.text("LANGUAGE_CODE", "en", choices=("en", "zh-hans"))
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
FORMAT_MODULE_PATH = "kling_platform.formats"
LOCALE_PATHS = [BASE_DIR / "locale"]

# --- files ------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = VAR_DIR / "media"  # never served by URL: every byte goes through a view that asks who you are
STORAGE = env.text("STORAGE", "local")
STORAGES = {
    "default": env.storage("STORAGE"),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# Whether videos that belong to no team are labelled as made by AI; teams have a rule of their own. The name stands
# in the label: the provider's, or the code that it was given.
AI_LABEL = env.flag("AI_LABEL", default=False)
AI_LABEL_PRODUCER = env.text("AI_LABEL_PRODUCER", "Kling platform")
# Whether people may make links by which anybody sees a video; off, those that were made open nothing.
SHARE_LINKS = env.flag("SHARE_LINKS", default=True)
# Videos are deleted by themselves after so many days; 0 keeps them.
RETENTION_DAYS = env.number("RETENTION_DAYS", 0, most=36_500)
FILE_UPLOAD_PERMISSIONS = 0o640
# The largest request: two pictures of 10 MB in base64, and a little more.
MAX_BODY_BYTES = 32 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# --- security ---------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
# How many proxies of ours stand in front: so many entries of X-Forwarded-For are believed, by the audit alone.
PROXIES = env.number("PROXIES", 0, least=0, most=5)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "kling_platform.views.csrf_failure"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
EGRESS_ALLOW = env.endpoints("EGRESS_ALLOW")

# --- upstream ---------------------------------------------------------------
OMNIMAAS_BASE_URL = env.url("OMNIMAAS_BASE_URL", "https://api.omnimaas.com")
OMNIMAAS_API_KEY = env.text("OMNIMAAS_API_KEY")
OMNIMAAS_TIMEOUT = env.number("OMNIMAAS_TIMEOUT", 60, least=1, most=600)
OMNIMAAS_MAX_IN_FLIGHT = env.number("OMNIMAAS_MAX_IN_FLIGHT", 20, least=1, most=10_000)
OMNIMAAS_IMAGE_TRANSPORT = env.text(
    "OMNIMAAS_IMAGE_TRANSPORT", "data_uri", choices=("data_uri", "base64", "url")
)
OMNIMAAS_METADATA = env.text("OMNIMAAS_METADATA", "string", choices=("string", "object"))
OMNIMAAS_SEND_ASPECT_RATIO = env.flag("OMNIMAAS_SEND_ASPECT_RATIO", default=True)
OMNIMAAS_SEND_EXTERNAL_ID = env.flag("OMNIMAAS_SEND_EXTERNAL_ID", default=True)
POLL_MIN_SECONDS = env.number("POLL_MIN_SECONDS", 2, least=1)
POLL_MAX_SECONDS = env.number("POLL_MAX_SECONDS", 120, least=1)
POLL_BUDGET = env.number("POLL_BUDGET", 5, least=1, most=100_000)
# From the commit of "submitting" until a sweep may call the answer lost; the POST ends at least 15 s earlier.
SUBMIT_LEASE = OMNIMAAS_TIMEOUT + 15

# --- tasks ------------------------------------------------------------------
# However short a POST may take: a poll loop's 70 seconds, and 20 for its last answers, must fit as well.
_timeout = max(SUBMIT_LEASE + 30, 105)
_workers, _queue_limit, _bulk = 4, 4, 1
Q_CLUSTER: dict[str, Any] = {
    "name": "kling",
    "label": "Tasks",
    "orm": "default",
    "broker_class": "kling_platform.broker.Broker",
    "workers": _workers,
    "queue_limit": _queue_limit,
    "bulk": _bulk,
    "timeout": _timeout,
    # A task handed out twice is harmless, but wasteful: never before the first could have ended.
    "retry": _timeout * (1 + math.ceil((_queue_limit + _bulk) / _workers)) + 30,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": -1,
    "poll": 0.25,  # seconds between two looks into an empty queue; the polls of a thousand videos cost as much
    "guard_cycle": 1,
}

# --- API --------------------------------------------------------------------
# Of one key; 0 is no limit. Far above what a program needs that waits for its videos, far below a runaway loop.
API_CREATES_PER_MINUTE = env.number("API_CREATES_PER_MINUTE", 300, most=1_000_000)
API_CALLS_PER_MINUTE = env.number("API_CALLS_PER_MINUTE", 6_000, most=1_000_000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.api.limits.KeyRate"],
    "DEFAULT_PARSER_CLASSES": ["kling_platform.api.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "kling_platform.api.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "kling_platform.api.render_error",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kling platform",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # The schema offers what the catalogue in the database does, and checks may run before there is one.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SORT_OPERATIONS": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["kling_platform.documents.introduce"],
}

# --- mail, logs, numbers ----------------------------------------------------

globals().update(env.email("EMAIL_URL"))
METRICS_TOKEN = env.text("METRICS_TOKEN")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django-q": {"level": "WARNING"},
        "urllib3": {"level": "ERROR"},
        "botocore": {"level": "WARNING"},
    },
}

# The one switch of the tests' failpoints; a check refuses it anywhere else.
CRASH_AT = env.text("CRASH_AT")
SITE_NAME = _("Kling platform")
