from django.urls import path

from accounts import views

urlpatterns = [
    path("signin", views.signin, name="signin"),
    path("signout", views.signout, name="signout"),
    path("account", views.account, name="account"),
    path("account/password", views.password, name="password"),
    path("account/keys", views.make_key, name="make_key"),
    path("account/keys/<int:key_id>/revoke", views.revoke_key, name="revoke_key"),
]
