from django.urls import path

from generations.manage import team_views

urlpatterns = [
    path("teams", team_views.teams, name="manage_teams"),
    path("teams/new", team_views.make, name="manage_team_make"),
    path("teams/<int:team_id>", team_views.team, name="manage_team"),
    path("teams/<int:team_id>/add", team_views.add, name="manage_team_add"),
    path("teams/<int:team_id>/remove/<int:user_id>", team_views.remove, name="manage_team_remove"),
]
