from __future__ import annotations

import itertools
import re

import pytest

from appliance.domain import Role
from appliance.people.roles import (
    ADMINISTRATORS,
    ROLE_PERMISSIONS,
    Permission,
    allowed,
)

ABOUT_CANDIDATES = {
    Permission.POSITION_READ,
    Permission.POSITION_WRITE,
    Permission.CANDIDATE_READ,
    Permission.INVITATION_SEND,
    Permission.ASSIGNMENT_WRITE,
    Permission.ANALYSIS_RUN,
    Permission.RECORDING_REPLAY,
    Permission.RECORDING_SEAL,
}


def test_every_role_has_its_permissions_stated() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)


def test_every_permission_is_named_resource_action_and_held_by_someone() -> None:
    for permission in Permission:
        assert re.fullmatch(r"[a-z-]+:[a-z-]+", permission.value)
        assert any(permission in held for held in ROLE_PERMISSIONS.values()), permission


@pytest.mark.parametrize("role", sorted(ADMINISTRATORS))
def test_no_administrator_sees_a_candidate_or_a_recording(role: Role) -> None:
    assert not ROLE_PERMISSIONS[role] & ABOUT_CANDIDATES


def test_the_administrators_powers_do_not_overlap() -> None:
    shared = {Permission.PUBLIC, Permission.SESSION_OWN, Permission.ACCOUNT_OWN, Permission.HEALTH_READ}
    # anyone may be a custodian, and a share alone opens nothing
    shared |= {Permission.VAULT_GIVE_SHARE, Permission.ERASURE_READ}
    for one, other in itertools.combinations(ADMINISTRATORS, 2):
        assert ROLE_PERMISSIONS[one] & ROLE_PERMISSIONS[other] <= shared


def test_only_the_auditor_reads_the_log_and_only_the_security_admin_holds_accounts() -> None:
    def holders(permission: Permission) -> set[Role]:
        return {role for role, held in ROLE_PERMISSIONS.items() if permission in held}

    assert holders(Permission.AUDIT_READ) == holders(Permission.AUDIT_VERIFY) == {Role.AUDITOR}
    assert holders(Permission.ACCOUNT_MANAGE) == {Role.SECURITY_ADMIN}
    assert holders(Permission.CHECK_IN_OWN) == holders(Permission.RECORD_OWN) == {Role.CANDIDATE}


def test_nobody_signed_in_sees_what_is_public_only() -> None:
    assert {permission for permission in Permission if allowed(None, permission)} == {Permission.PUBLIC}
    assert allowed(Role.RECRUITER, Permission.RECORDING_REPLAY)
    assert not allowed(Role.AUDITOR, Permission.RECORDING_REPLAY)
