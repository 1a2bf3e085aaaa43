"""What each role may do. Which objects it may do it to is decided in access.py.

The three administrators (三员) exclude each other and every other role: a person has one role, and none
of the three holds a permission that shows a recording.
"""

from __future__ import annotations

import enum

from appliance.domain import Role


class Permission(enum.StrEnum):
    """`resource:action`; every route states exactly one."""

    PUBLIC = "public:view"
    SESSION_OWN = "session:own"
    ACCOUNT_OWN = "account:own"
    CHECK_IN_OWN = "check-in:own"
    RECORD_OWN = "record:own"

    POSITION_READ = "position:read"
    POSITION_WRITE = "position:write"
    CANDIDATE_READ = "candidate:read"
    INVITATION_SEND = "invitation:send"
    ASSIGNMENT_WRITE = "assignment:write"
    RECORDING_REPLAY = "recording:replay"
    RECORDING_SEAL = "recording:seal"
    ANALYSIS_RUN = "analysis:run"
    NOTE_READ = "note:read"
    NOTE_WRITE = "note:write"
    RESUME_READ = "resume:read"
    RESUME_WRITE = "resume:write"
    ERASURE_READ = "erasure:read"
    ERASURE_MARK = "erasure:mark"
    ERASURE_WITHDRAW = "erasure:withdraw"
    HOLD_WRITE = "hold:write"

    VAULT_GIVE_SHARE = "vault:give-share"
    HEALTH_READ = "health:read"
    ACCOUNT_MANAGE = "account:manage"
    AUDIT_READ = "audit:read"
    AUDIT_VERIFY = "audit:verify"


ADMINISTRATORS = frozenset({Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR})

# Whoever keeps a share may give it; which people do is not known here.
_SIGNED_IN = frozenset(
    {Permission.PUBLIC, Permission.SESSION_OWN, Permission.ACCOUNT_OWN, Permission.VAULT_GIVE_SHARE}
)
_REVIEWING = frozenset(
    {Permission.RECORDING_REPLAY, Permission.NOTE_READ, Permission.NOTE_WRITE, Permission.RESUME_READ}
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.CANDIDATE: frozenset({Permission.PUBLIC, Permission.CHECK_IN_OWN, Permission.RECORD_OWN}),
    Role.RECRUITER: _SIGNED_IN
    | _REVIEWING
    | {
        Permission.POSITION_READ,
        Permission.POSITION_WRITE,
        Permission.CANDIDATE_READ,
        Permission.INVITATION_SEND,
        Permission.ASSIGNMENT_WRITE,
        Permission.RECORDING_SEAL,
        Permission.ANALYSIS_RUN,
        Permission.RESUME_WRITE,
        Permission.ERASURE_READ,
        Permission.ERASURE_MARK,
        Permission.ERASURE_WITHDRAW,
    },
    Role.DEPARTMENT_HEAD: _SIGNED_IN
    | _REVIEWING
    | {
        Permission.POSITION_READ,
        Permission.POSITION_WRITE,
        Permission.CANDIDATE_READ,
        Permission.ASSIGNMENT_WRITE,
        Permission.ERASURE_READ,
        Permission.ERASURE_WITHDRAW,
    },
    Role.INTERVIEWER: _SIGNED_IN | _REVIEWING | {Permission.POSITION_READ, Permission.CANDIDATE_READ},
    Role.SYSTEM_ADMIN: _SIGNED_IN | {Permission.HEALTH_READ},
    Role.SECURITY_ADMIN: _SIGNED_IN
    | {Permission.HEALTH_READ, Permission.ACCOUNT_MANAGE, Permission.ERASURE_READ, Permission.HOLD_WRITE},
    Role.AUDITOR: _SIGNED_IN
    | {Permission.HEALTH_READ, Permission.AUDIT_READ, Permission.AUDIT_VERIFY, Permission.ERASURE_READ},
}

ANONYMOUS_PERMISSIONS = frozenset({Permission.PUBLIC})


def allowed(role: Role | None, permission: Permission) -> bool:
    """Whether a role (None: nobody is signed in) holds a permission."""
    return permission in (ANONYMOUS_PERMISSIONS if role is None else ROLE_PERMISSIONS[role])
