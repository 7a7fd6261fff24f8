import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_signintry"),
        ("generations", "0010_tags"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Shot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveSmallIntegerField()),
                ("prompt", models.TextField(verbose_name="prompt")),
                ("seconds", models.PositiveSmallIntegerField(verbose_name="length")),
            ],
            options={
                "verbose_name": "shot",
                "verbose_name_plural": "shots",
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="Storyboard",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("title", models.CharField(max_length=120, verbose_name="title")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "a plan"),
                            ("running", "in the making"),
                            ("stopped", "stopped"),
                            ("joining", "being joined"),
                            ("done", "ready"),
                        ],
                        default="draft",
                        max_length=7,
                        verbose_name="state",
                    ),
                ),
                (
                    "problem",
                    models.CharField(
                        blank=True,
                        choices=[
                            (
                                "shot_failed",
                                "A shot failed, and cost nothing. Change its words, or try it again.",
                            ),
                            (
                                "unpaid",
                                "There were not enough credits for the next shot. It goes on when there are.",
                            ),
                            (
                                "refused",
                                "The next shot is not possible as it is planned. Change it, then go on.",
                            ),
                            (
                                "lost",
                                "A shot's file can't be read any more, so nothing can begin where it ends.",
                            ),
                            (
                                "unjoined",
                                "The shots could not be joined into one film. Try again, or take them singly.",
                            ),
                        ],
                        max_length=11,
                    ),
                ),
                ("due_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("join_attempts", models.PositiveSmallIntegerField(default=0, editable=False)),
                ("model", models.CharField(max_length=60, verbose_name="model")),
                ("mode", models.CharField(max_length=8, verbose_name="mode")),
                ("size", models.CharField(max_length=9, verbose_name="ratio")),
                ("sound", models.BooleanField(default=False, verbose_name="sound")),
                ("film", models.FileField(blank=True, max_length=200, upload_to="")),
                ("film_seconds", models.FloatField(default=0)),
                ("film_bytes", models.PositiveBigIntegerField(default=0)),
                ("film_sha256", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "verbose_name": "storyboard",
                "verbose_name_plural": "storyboards",
            },
        ),
        migrations.AddField(
            model_name="generation",
            name="derivation",
            field=models.CharField(
                blank=True,
                choices=[
                    ("variation", "variation"),
                    ("model", "on another model"),
                    ("edit", "changed"),
                    ("continuation", "continued"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="generation",
            name="derived_from",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="derived",
                to="generations.generation",
            ),
        ),
        migrations.AddField(
            model_name="video",
            name="last_frame",
            field=models.FileField(blank=True, max_length=200, upload_to=""),
        ),
        migrations.AddConstraint(
            model_name="generation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("derivation", ""), ("derived_from__isnull", True)),
                    ("derivation__in", ["variation", "model", "edit", "continuation"]),
                    _connector="OR",
                ),
                name="generations_generation_derivation_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="generation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("derived_from__isnull", True), ("retry_of__isnull", True), _connector="OR"
                ),
                name="generations_generation_one_origin",
            ),
        ),
        migrations.AddField(
            model_name="shot",
            name="generation",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="shots",
                to="generations.generation",
            ),
        ),
        migrations.AddField(
            model_name="storyboard",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="storyboards",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="shot",
            name="storyboard",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="shots", to="generations.storyboard"
            ),
        ),
        migrations.AddIndex(
            model_name="storyboard",
            index=models.Index(fields=["user", "-created_at", "-id"], name="generations_storyboards_mine"),
        ),
        migrations.AddIndex(
            model_name="storyboard",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["due_at"],
                name="generations_storyboards_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="storyboard",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["draft", "running", "stopped", "joining", "done"])),
                name="generations_storyboard_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="storyboard",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("due_at__isnull", False), ("status__in", ["running", "joining"])),
                    models.Q(("due_at__isnull", True), ("status__in", ["draft", "stopped", "done"])),
                    _connector="OR",
                ),
                name="generations_storyboard_going_is_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="storyboard",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "done"), models.Q(("film", ""), _negated=True)),
                    models.Q(models.Q(("status", "done"), _negated=True), ("film", "")),
                    _connector="OR",
                ),
                name="generations_storyboard_done_has_film",
            ),
        ),
        migrations.AddConstraint(
            model_name="shot",
            constraint=models.UniqueConstraint(
                fields=("storyboard", "position"), name="generations_shot_one_a_place"
            ),
        ),
    ]
