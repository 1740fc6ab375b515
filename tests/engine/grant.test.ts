import assert from "node:assert/strict";
import { Grant, type GrantState, type GrantStep, TransitionError } from "../../engine/grant.ts";
import { planned } from "./support.ts";

const STEPS: readonly GrantStep[] = [
  "export",
  "deliver",
  "suspend",
  "restore",
  "revoke",
  "end",
  "fail",
];

/** The machine once more, written from the design's sentence and not from the engine's table. */
const EXPECTED: Readonly<Record<GrantState, Readonly<Partial<Record<GrantStep, GrantState>>>>> = {
  planned: { export: "exported", fail: "ended" },
  exported: { deliver: "delivered", revoke: "revoking", fail: "ended" },
  delivered: { suspend: "suspended", revoke: "revoking", fail: "ended" },
  suspended: { restore: "delivered", revoke: "revoking", fail: "ended" },
  revoking: { end: "ended", fail: "ended" },
  ended: {},
};

const PATHS: Readonly<Record<GrantState, readonly GrantStep[]>> = {
  planned: [],
  exported: ["export"],
  delivered: ["export", "deliver"],
  suspended: ["export", "deliver", "suspend"],
  revoking: ["export", "deliver", "revoke"],
  ended: ["export", "deliver", "revoke", "end"],
};

function take(grant: Grant, step: GrantStep): void {
  if (step === "revoke") grant.revoke("operator");
  else if (step === "end") grant.ended("close");
  else if (step === "fail") grant.fail();
  else grant.step(step);
}

function grantIn(state: GrantState): Grant {
  const grant = new Grant("g", planned(), 1);
  for (const step of PATHS[state]) take(grant, step);
  assert.equal(grant.state, state);
  return grant;
}

Deno.test("Grant takes exactly the steps of its state", async (t) => {
  for (const state of Object.keys(EXPECTED) as GrantState[]) {
    for (const step of STEPS) {
      await t.step(`${step} when ${state}`, () => {
        const grant = grantIn(state);
        const next = EXPECTED[state][step];
        if (next !== undefined) {
          take(grant, step);
          assert.equal(grant.state, next);
          return;
        }
        const end = grant.end;
        assert.throws(() => take(grant, step), TransitionError);
        assert.equal(grant.state, state);
        assert.equal(grant.end, end);
      });
    }
  }
});

Deno.test("Grant keeps the first reason, and has one end", () => {
  const grant = grantIn("delivered");
  grant.revoke("expired");
  assert.throws(() => grant.revoke("operator"), TransitionError);
  grant.ended("unmap");
  assert.deepEqual(grant.end, { reason: "expired", means: "unmap" });
  assert.throws(() => grant.fail(), TransitionError);
  assert.deepEqual(grant.end, { reason: "expired", means: "unmap" });
});

Deno.test("Grant.standing is true from the export to the end", () => {
  const standing = (Object.keys(EXPECTED) as GrantState[]).filter((s) => grantIn(s).standing);
  assert.deepEqual(standing, ["exported", "delivered", "suspended", "revoking"]);
});
