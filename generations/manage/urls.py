from django.urls import path

from generations.manage import (
    alarm_views,
    catalogue_views,
    leaving_views,
    operations_views,
    team_views,
    usage_views,
)

urlpatterns = [
    path("teams", team_views.teams, name="manage_teams"),
    path("teams/new", team_views.make, name="manage_team_make"),
    path("teams/<int:team_id>", team_views.team, name="manage_team"),
    path("teams/<int:team_id>/add", team_views.add, name="manage_team_add"),
    path("teams/<int:team_id>/remove/<int:user_id>", team_views.remove, name="manage_team_remove"),
    path("people/<int:user_id>/leave", leaving_views.leave, name="manage_leave"),
    path("people/<int:user_id>/hand-over", leaving_views.hand_over, name="manage_hand_over"),
    path("people/<int:user_id>/farewell", leaving_views.farewell, name="manage_farewell"),
    path("usage", usage_views.usage, name="manage_usage"),
    path("usage.csv", usage_views.export, name="manage_usage_export"),
    path("usage/videos", usage_views.videos, name="manage_usage_videos"),
    path("usage/statement", usage_views.statement, name="manage_statement"),
    path("catalogue", catalogue_views.catalogue, name="manage_catalogue"),
    path("catalogue/edit", catalogue_views.edit, name="manage_catalogue_edit"),
    path("catalogue/<str:version>/withdraw", catalogue_views.withdraw, name="manage_catalogue_withdraw"),
    path("operations", operations_views.operations, name="manage_operations"),
    path("operations/pause", operations_views.pause, name="manage_pause"),
    path("operations/resume", operations_views.resume, name="manage_resume"),
    path("operations/doubts/<uuid:generation_id>/<str:way>", operations_views.decide, name="manage_decide"),
    path("operations/stores/<uuid:generation_id>", operations_views.store, name="manage_store"),
    path("operations/alarms", alarm_views.targets, name="manage_alarms"),
    path("operations/alarms/<int:target_id>", alarm_views.target, name="manage_alarm"),
    path("operations/alarms/<int:target_id>/test", alarm_views.test, name="manage_alarm_test"),
    path("operations/alarms/<int:target_id>/switch", alarm_views.switch, name="manage_alarm_switch"),
    path("operations/alarms/<int:target_id>/remove", alarm_views.remove, name="manage_alarm_remove"),
]
