from django.urls import path

from accounts import views

urlpatterns = [
    path("signin", views.signin, name="signin"),
    path("signout", views.signout, name="signout"),
    path("account", views.account, name="account"),
    path("account/password", views.password, name="password"),
]
