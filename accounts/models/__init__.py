"""Who may do what, and how much. This app knows nothing of videos: the ledger points back by UUID."""

from accounts.models.imports import LOST_AFTER as LOST_AFTER
from accounts.models.imports import PeopleImport as PeopleImport
from accounts.models.invitations import Invitation as Invitation
from accounts.models.keys import ENDS_SOON as ENDS_SOON
from accounts.models.keys import ApiKey as ApiKey
from accounts.models.money import DefaultQuota as DefaultQuota
from accounts.models.money import Quota as Quota
from accounts.models.money import QuotaQuerySet as QuotaQuerySet
from accounts.models.money import TopUp as TopUp
from accounts.models.money import Transfer as Transfer
from accounts.models.money import Wallet as Wallet
from accounts.models.notices import ASKED_FOR as ASKED_FOR
from accounts.models.notices import CreditRequest as CreditRequest
from accounts.models.notices import CreditRequestQuerySet as CreditRequestQuerySet
from accounts.models.notices import Notice as Notice
from accounts.models.notices import NoticeQuerySet as NoticeQuerySet
from accounts.models.people import SCOPES as SCOPES
from accounts.models.people import AuditEntry as AuditEntry
from accounts.models.people import SignInTry as SignInTry
from accounts.models.people import Team as Team
from accounts.models.people import User as User
from accounts.models.people import UserManager as UserManager
