from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generations", "0002_webhooks")]

    operations = [
        migrations.RenameField("upstream", "poll_tokens_at", "poll_slot_at"),
        migrations.RemoveField("upstream", "poll_tokens"),
        migrations.AddIndex(
            "generation",
            models.Index(
                fields=["next_check_at"],
                condition=models.Q(status__in=["running", "unknown"], upstream_id__isnull=False),
                name="generations_polls_due",
            ),
        ),
    ]
