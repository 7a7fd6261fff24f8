"""The web's entry for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kling_platform.settings")
platform = get_wsgi_application()

from generations.api.quick import QuickPolls  # noqa: E402 # reads the settings, and models

application = QuickPolls(platform)
