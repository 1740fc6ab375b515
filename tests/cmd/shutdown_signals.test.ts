import assert from "node:assert/strict";
import { ShutdownSignals } from "../../cmd/shutdown_signals.ts";

function scene(shutdown: () => Promise<void> = () => Promise.resolve()) {
  const said: string[] = [];
  const clock = { ms: 1000 };
  const signals = new ShutdownSignals({
    shutdown: (signal) => {
      said.push(`shutdown ${signal}`);
      return shutdown();
    },
    again: (signal) => said.push(`again ${signal}`),
    failed: (error) => said.push(`failed ${error}`),
  }, () => clock.ms);
  return { said, clock, signals };
}

Deno.test("the first signal asks for the end, the second ends at once", () => {
  const { said, clock, signals } = scene();
  signals.receive("SIGTERM");
  clock.ms += 600;
  signals.receive("SIGINT");
  assert.deepEqual(said, ["shutdown SIGTERM", "again SIGINT"]);
});

Deno.test("the echo of a signal is none, and neither is a terminal that closes", () => {
  const { said, clock, signals } = scene();
  signals.receive("SIGINT");
  signals.receive("SIGINT");
  clock.ms += 499;
  signals.receive("SIGTERM");
  clock.ms += 10_000;
  signals.receive("SIGHUP");
  assert.deepEqual(said, ["shutdown SIGINT"]);
});

Deno.test("a shutdown that fails is reported", async () => {
  const { said, signals } = scene(() => Promise.reject(new Error("stuck")));
  signals.receive("SIGTERM");
  await Promise.resolve().then(() => undefined);
  assert.deepEqual(said, ["shutdown SIGTERM", "failed Error: stuck"]);
});
