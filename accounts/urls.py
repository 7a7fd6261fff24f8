from django.urls import path

from accounts import join_views, views

urlpatterns = [
    path("signin", views.signin, name="signin"),
    path("signout", views.signout, name="signout"),
    path("join/<str:token>", join_views.join, name="join"),
    path("reset/<int:user_id>/<str:token>", join_views.reset, name="reset"),
    path("account", views.account, name="account"),
    path("account/ask", views.ask, name="ask"),
    path("account/letters", views.letters, name="letters"),
    path("account/password", views.password, name="password"),
]
