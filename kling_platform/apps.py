from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "kling_platform"

    def ready(self) -> None:
        from kling_platform import checks  # noqa: F401 - registers the system checks
