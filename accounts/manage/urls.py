from django.urls import path

from accounts.manage import audit_views, import_views, people_views, quota_views, requests_views, views

urlpatterns = [
    path("", views.index, name="manage"),
    path("people", people_views.people, name="manage_people"),
    path("people.csv", people_views.export, name="manage_people_export"),
    path("people/invite", people_views.invite, name="manage_invite"),
    path("people/import", import_views.import_people, name="manage_import"),
    path("people/imports/<uuid:import_id>", import_views.result, name="manage_import_result"),
    path("people/import/example.csv", import_views.example, name="manage_import_example"),
    path("people/<int:user_id>", people_views.person, name="manage_person"),
    path("people/<int:user_id>/role", people_views.set_role, name="manage_role"),
    path("people/<int:user_id>/suspend", people_views.suspend, name="manage_suspend"),
    path("people/<int:user_id>/resume", people_views.resume, name="manage_resume"),
    path("people/<int:user_id>/sign-out", people_views.sign_out, name="manage_sign_out"),
    path("people/<int:user_id>/reset", people_views.reset, name="manage_reset"),
    path("invitations/<int:invitation_id>/again", people_views.invite_again, name="manage_invite_again"),
    path("invitations/<int:invitation_id>/withdraw", people_views.withdraw, name="manage_withdraw"),
    path("people/<int:user_id>/quotas", quota_views.set_of_person, name="manage_person_quotas"),
    path("people/<int:user_id>/grant", quota_views.grant_to_person, name="manage_person_grant"),
    path("teams/<int:team_id>/quotas", quota_views.set_of_team, name="manage_team_quotas"),
    path("teams/<int:team_id>/grant", quota_views.grant_to_team, name="manage_team_grant"),
    path("quotas", quota_views.many, name="manage_quotas"),
    path("quotas/default", quota_views.set_default, name="manage_default_quotas"),
    path("requests", requests_views.requests, name="manage_requests"),
    path("requests/<int:request_id>", requests_views.decide, name="manage_decide_request"),
    path("audit", audit_views.audit, name="manage_audit"),
    path("audit.csv", audit_views.export, name="manage_audit_export"),
    path("audit.jsonl", audit_views.export_lines, name="manage_audit_lines"),
]
