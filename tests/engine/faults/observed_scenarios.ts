/**
 * Stories of what others do to devices, and observers see.
 *
 * @module
 */
import { OWNER_PID } from "../owner_scene.ts";
import { BRIDGE, type GrantSpec, settle, SSD } from "../support.ts";
import { borrowed } from "./meetings.ts";
import { BESIDE, type Scenario, scene, story } from "./story.ts";
import type { Trial } from "./trial.ts";

/** Longer than it takes until what is and what should be are compared, ms. */
const LATER_MS = 10_000;

type Tell = (trial: Trial) => void | Promise<void>;

/**
 * Others do something by which these devices are reset.
 *
 * @param isSeen whether it can be seen: what cannot be watched is told, and is found late
 */
async function resetByOthers(
  trial: Trial,
  devices: readonly string[],
  tell: Tell,
  isSeen: boolean,
): Promise<void> {
  const { scene: { clock }, resets } = trial;
  const ending = resets.ending(devices.filter((device) => !trial.isUnobserved(device)));
  await trial.act("reset by others", async () => await tell(trial));
  // What it was can be known when a register was read, and not before.
  if (isSeen && !trial.isKept) resets.checkBegun(ending);
  await trial.act("after a reset by others", () => clock.advance(LATER_MS));
  if (isSeen && !trial.isLate) resets.checkEnded(ending);
  // What a failed call has left suspended is found by the next look.
  if (trial.isDisturbed && resets.suspended > 0) {
    await trial.act("a look", () => clock.advance(LATER_MS));
  }
  if (!trial.isLate) resets.checkRestored();
}

/** Somebody writes to a file of sysfs. */
const written = (file: string, of = SSD, devices = [SSD]) => (trial: Trial) => {
  const isSeen = trial.isWatched(`/sys/bus/pci/devices/${of}/${file}`);
  return resetByOthers(trial, devices, () => trial.scene.touch(file, "modify", of), isSeen);
};

/** Somebody switches memory decode off past VFIO. */
const switchedOff = (trial: Trial) => {
  const { kernel } = trial.scene;
  const device = [...kernel.devices.values()].find(({ fn }) => fn.address === SSD);
  device?.writeCommandOutside(0);
  return written("config")(trial);
};

/** Events are lost, and with them perhaps a reset. */
const lost = (trial: Trial) => {
  const { kernel } = trial.scene;
  const tell = () => {
    kernel.fileWatches.overrun();
    for (const socket of kernel.uevents) socket.push("overrun");
  };
  return resetByOthers(trial, [SSD], tell, trial.isWatched(`/sys/bus/pci/devices/${SSD}/reset`));
};

/** Somebody opens `reset`, and waits at the gate. */
async function atGate(trial: Trial): Promise<void> {
  const { scene: { kernel, clock }, resets } = trial;
  const gate = kernel.gates.get(`/sys/bus/pci/devices/${SSD}/reset`);
  if (gate === undefined) return;
  const ending = resets.ending([SSD]);
  let passed = false;
  void gate.open(77).then(() => {
    passed = true;
    if (!trial.isLate && trial.isOpen) resets.checkEnded(ending);
  });
  await trial.act("a reset at the gate", () => clock.advance(LATER_MS));
  const waits = "who opens reset waits for ever";
  if (!passed && !trial.isLate) trial.violated(waits);
  trial.atEnd(() => passed ? undefined : trial.violated(waits));
}

/** The device has failed, and AER tells. */
async function fail(trial: Trial): Promise<void> {
  const { scene: { kernel, clock }, audit } = trial;
  const device = [...kernel.devices.values()].find(({ fn }) => fn.address === SSD);
  const interrupt = device?.interrupts.get("error");
  const standing = audit.standing;
  await trial.act("a failure", async () => {
    interrupt?.signal();
    await settle();
  });
  if (interrupt !== undefined) trial.resets.checkBegun(standing);
  await trial.act("after a failure", () => clock.advance(LATER_MS));
  if (interrupt !== undefined && !trial.isLate) trial.resets.checkEnded(standing);
}

/** The owner of a borrowed device resets it, and the kernel's routine is traced. */
async function ownerResets(trial: Trial): Promise<void> {
  const { kernel } = trial.scene;
  const device = [...kernel.devices.values()][0];
  const tell = async () => {
    device?.bounce();
    for (const revoked of [true, false]) {
      for (const trace of kernel.revokeTraces) {
        trace.push({ device: SSD, revoked, pid: OWNER_PID, task: "tgt" });
      }
    }
    await settle();
  };
  const ending = trial.resets.ending([SSD]);
  const isSeen = kernel.revokeTraces.size > 0;
  await trial.act("reset by the owner", tell);
  await trial.act("after a reset by the owner", () => trial.scene.clock.advance(LATER_MS));
  if (isSeen) trial.resets.checkBegun(ending);
}

const BOTH: readonly GrantSpec[] = [{}, { name: "stays", onReset: "restore" }];
const APART: readonly GrantSpec[] = [{}, { name: "beside", address: BESIDE }];
const TWO_DEVICES = [{}, {}];

/** What others do. */
export const OBSERVED: readonly Scenario[] = [
  story("reset by others", scene([{}]), written("reset")),
  story("reset by others, restore", scene([{ onReset: "restore" }]), written("reset")),
  story("reset by others, both", scene(BOTH), written("reset")),
  story(
    "reset of a bridge by others",
    scene(APART, TWO_DEVICES),
    written("reset_subordinate", BRIDGE, [SSD, BESIDE]),
  ),
  story("reset of one of two by others", scene(APART, TWO_DEVICES), written("reset")),
  story("decode off by others", scene(BOTH), switchedOff),
  story("events lost", scene(BOTH), lost),
  story(
    "gate before resets",
    scene([{}], undefined, "cdev", { gateResets: true }),
    atGate,
  ),
  story(
    "gate before resets, both",
    scene(BOTH, undefined, "cdev", { gateResets: true }),
    atGate,
  ),
  story("device error", scene(BOTH), fail),
  story("removal by others", scene(APART, TWO_DEVICES), async (trial) => {
    await trial.act("removal", () => trial.scene.touch("remove", "open"));
  }),
  story(
    "borrowed, the owner resets",
    borrowed({}, false, { traceRevokes: true }),
    ownerResets,
  ),
  story(
    "borrowed, the owner resets, restore",
    borrowed({ onReset: "restore" }, false, { traceRevokes: true }),
    ownerResets,
  ),
];
