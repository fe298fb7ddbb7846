"""What a repair mends of what a verification found, and what it leaves alone."""

from __future__ import annotations

import threading

import pytest

from vantage_pipeline_tests.verifier import TABLES, Verifier, listed, names


def test_a_repair_touches_just_those_records_and_is_in_the_history(bubble: Verifier) -> None:
    chosen = bubble.database.scalar("SELECT customer_id FROM customer ORDER BY id LIMIT 1")
    bubble.database.rows("UPDATE customer SET name = 'by hand' WHERE customer_id = %s", chosen)
    marks = bubble.database.rows("SELECT resource, last_sync_time FROM vantage_sync_state ORDER BY 1")
    others = {name: rows for name, rows in bubble.everything().items() if name in TABLES and name != "customer"}
    rest = bubble.database.rows(
        "SELECT ctid, xmin, t::text FROM customer t WHERE customer_id <> %s ORDER BY id", chosen
    )
    bubble.sandbox.requests.clear()
    assert bubble.verify("bubble/customer", repair=True).equal
    now = bubble.everything()
    assert {name: now[name] for name in others} == others
    assert (
        bubble.database.rows("SELECT ctid, xmin, t::text FROM customer t WHERE customer_id <> %s ORDER BY id", chosen)
        == rest
    )
    assert bubble.database.rows("SELECT resource, last_sync_time FROM vantage_sync_state ORDER BY 1") == marks
    assert [
        r.query["constraints"] for r in bubble.sandbox.requests if f'"{chosen}"' in r.query.get("constraints", "")
    ] == [f'[{{"key":"_id","constraint_type":"in","value":["{chosen}"]}}]']
    assert bubble.database.rows(
        "SELECT resource, status, triggered_by, options->>'repair', partial, records_synced, records_updated"
        " FROM vantage_sync_history WHERE run_id = 'mending'"
    ) == [("bubble_customer", "success", "a test", "true", True, 1, 1)]


def test_a_removed_parent_and_its_childrens_links_come_back(vantage: Verifier) -> None:
    database = vantage.database
    links = "SELECT t.external_id, i.external_id FROM transactions t LEFT JOIN investors i ON i.id = t.investor_id ORDER BY 1"
    linked = database.rows(links)
    parent = dict(linked)["1000001"]
    children = sum(1 for _, investor in linked if investor == parent)
    for table in ("transactions", "commitments", "account_contacts"):
        database.rows(
            f"UPDATE {table} SET investor_id = NULL WHERE investor_id = (SELECT id FROM investors WHERE external_id = %s)",
            parent,
        )
    database.rows(
        "DELETE FROM investments WHERE investor_id = (SELECT id FROM investors WHERE external_id = %s)", parent
    )
    database.rows("DELETE FROM investors WHERE external_id = %s", parent)
    verdicts = {v.resource: v for v in vantage.verify(*names("vantage")).verdicts}
    assert listed(verdicts["vantage/accounts"]) == [(parent, "MISSING", "", None, None)]
    assert verdicts["vantage/cashflows"].changed == children
    assert vantage.verify(*names("vantage"), repair=True).equal
    assert database.rows(links) == linked


def test_a_repair_validates_a_foreign_key_that_no_row_breaks_any_more(verifier: Verifier) -> None:
    verifier.database.execute(
        "ALTER TABLE invoice DROP CONSTRAINT invoice_linked_agent_fkey;"
        "ALTER TABLE invoice ADD CONSTRAINT invoice_linked_agent_fkey FOREIGN KEY (linked_agent)"
        " REFERENCES agent (bubble_id) NOT VALID"
    )
    valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'invoice_linked_agent_fkey'"
    verifier.verify("bubble/agent")
    assert not verifier.database.scalar(valid)
    verifier.verify("bubble/agent", repair=True)
    assert verifier.database.scalar(valid)


def test_guards_hide_nothing_and_hold_back_a_repair(bubble: Verifier) -> None:
    bubble.sandbox.bubble.hidden.add(("customer_profile", "Contact"))
    filled = bubble.database.scalar("SELECT count(phone) FROM customer")
    verdict = bubble.found("bubble/customer")
    assert verdict.changed == filled
    assert {m.field for m in verdict.mismatches} == {"phone"}
    done = bubble.verify("bubble/customer", repair=True)
    assert not done.equal
    assert "customer.phone" in done.repaired[0].held_back[0]
    assert bubble.database.scalar("SELECT count(phone) FROM customer") == filled
    bubble.sandbox.bubble.hidden.clear()
    # twelve values put in by hand are no column that was hidden
    bubble.database.rows(
        "UPDATE customer SET status = 'by hand' WHERE id IN (SELECT id FROM customer WHERE status IS NULL LIMIT 12)"
    )
    assert bubble.verify("bubble/customer", repair=True).equal


@pytest.mark.parametrize(
    ("name", "table", "state"),
    [("cashflows", "transactions", "cashflows"), ("bubble/customer", "customer", "bubble_customer")],
)
def test_deletions_are_weighed_whole_however_small_the_slices(
    verifier: Verifier, name: str, table: str, state: str
) -> None:
    """Five slices of eight rows, each below the guard by itself."""
    verifier.pipeline.sync(name, full=True)
    if name == "cashflows":
        del verifier.sandbox.vantage.records["cashflows"][-40:]
    else:
        for key in list(verifier.sandbox.bubble.records["customer_profile"])[:40]:
            verifier.sandbox.bubble.remove("customer_profile", key)
    verifier.settings = verifier.settings.model_copy(update={"batch_records": 8})
    gone = verifier.found(name).extra
    assert gone == 40
    done = verifier.verify(name, repair=True)
    assert not done.equal
    assert (done.repaired[0].deleted, len(done.repaired[0].held_back)) == (0, 1)
    assert "40 rows" in done.repaired[0].held_back[0]
    assert verifier.database.scalar(f"SELECT count(*) FROM {table} WHERE deleted_at IS NOT NULL") == 0
    assert verifier.database.rows("SELECT resource, kind, records, run_id FROM vantage_held_back") == [
        (state, "delete", 40, "mending")
    ]
    assert "DELETE_HELD_BACK" in verifier.database.scalar(
        f"SELECT errors::text FROM vantage_sync_history WHERE resource = '{state}' ORDER BY id DESC LIMIT 1"
    )
    verifier.settings = verifier.settings.model_copy(update={"delete_guard_share": 0.9})
    done = verifier.verify(name, repair=True)
    assert (done.equal, done.repaired[0].deleted) == (True, 40)


def test_a_refused_record_of_a_repair_shows_no_secret(bubble: Verifier) -> None:
    """It goes bad between the comparing reading and that by its id."""
    secret = bubble.settings.bubble_api_token
    assert secret is not None
    token = secret.get_secret_value()
    agent = next(iter(bubble.sandbox.bubble.records["agent"].values()))
    good = agent["Modified Date"]

    def go_bad(_path: str) -> None:
        mending = bubble.database.scalar(
            "SELECT last_sync_status = 'running' FROM vantage_sync_state WHERE resource = 'bubble_agent'"
        )
        agent["Modified Date"] = f"not a time but {token}" if mending else good
        bubble.sandbox.bubble.changed("agent")

    bubble.sandbox.on_request.append(go_bad)
    bubble.database.rows(f"UPDATE agent SET name = 'by hand' WHERE bubble_id = '{agent['_id']}'")
    bubble.verify("bubble/agent", repair=True)
    told = bubble.database.rows(
        "SELECT message FROM vantage_quarantine UNION ALL SELECT errors::text FROM vantage_sync_history"
        " WHERE run_id = 'mending' UNION ALL SELECT errors::text FROM vantage_sync_state"
    )
    assert "not a time but" in str(told)
    assert token not in str(told)


def test_a_repair_respects_a_sync_that_came_in_between(vantage: Verifier) -> None:
    """A sync writes a newer version while the reading goes on: it is neither reported nor undone."""
    vantage.database.rows("UPDATE investors SET country = 'by hand' WHERE external_id IN ('10001', '10002')")
    done: list[threading.Thread] = []

    def sync_meanwhile(path: str) -> None:
        if "/api/Contacts" in path and not done:
            done.append(threading.current_thread())
            vantage.sandbox.vantage.change("accounts", 1, field="country", value="Newer")
            vantage.pipeline.sync("accounts")

    vantage.sandbox.on_request.append(sync_meanwhile)
    verdicts = vantage.verify("accounts", "investors", repair=True)
    assert done
    assert [m.key for v in verdicts.before for m in v.mismatches] == ["10002"]
    assert vantage.database.rows("SELECT country FROM investors WHERE external_id IN ('10001', '10002') ORDER BY external_id") == [
        ("Newer",), ("United States",),
    ]  # fmt: skip
    assert verdicts.equal
