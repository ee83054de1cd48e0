"""Where the team works: leads and their messages, workspaces."""

from __future__ import annotations

from contacts.admin.leads import LeadAdmin
from contacts.admin.workspaces import WorkspaceAdmin

__all__ = ["LeadAdmin", "WorkspaceAdmin"]
