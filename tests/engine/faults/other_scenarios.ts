/**
 * Stories of operators, strangers, holds, controllers with memory, and looks before an export.
 *
 * @module
 */
import { ControlServer, encodeControlRequest } from "../../../engine/control.ts";
import type { PlannedMemory } from "../../../engine/planned_memory.ts";
import { probeLive } from "../../../engine/preflight/live.ts";
import { ready } from "../../../engine/refusal.ts";
import { probeController } from "../../../engine/probe_controller.ts";
import type { SnapshotFunction } from "../../../host/snapshot.ts";
import { refusal } from "../../../sim/errno.ts";
import type { SimFunction } from "../../../sim/vfio.ts";
import { type GrantSpec, simFunction, SSD } from "../support.ts";
import { speakAsStranger } from "./deeds.ts";
import { BESIDE, expire, request, reset, type Scenario, scene, story } from "./story.ts";
import type { Trial } from "./trial.ts";

const CONTROL_PATH = "/run/bargate.sock";
const OPERATOR = { pid: 900, uid: 0, gid: 0 };
const STRANGER = { pid: 901, uid: 65534, gid: 65534 };

/** Somebody asks for a reset on the operator's socket. */
const asked = (who: typeof OPERATOR) => async (trial: Trial) => {
  const { scene: { kernel, clock, guardian }, resets } = trial;
  let asked = false;
  const server = await trial.act("listen for operators", async () => {
    const listener = await ready("listen for operators", () => trial.port.listen(CONTROL_PATH));
    return new ControlServer(trial.port, listener, async (request) => {
      if (request.type !== "reset") return { type: "absent" };
      asked = true;
      const { device, method, domain } = request;
      const outcome = await guardian.reset(device, method, "operator", domain);
      return outcome === undefined ? { type: "absent" } : { type: "done", ...outcome };
    });
  });
  if (server === undefined) return;
  const ending = resets.ending([SSD]);
  const before = resets.made;
  await trial.act("a request", async () => {
    const socket = kernel.connectAs(who, CONTROL_PATH);
    trial.foreign(socket);
    await clock.advance(0);
    const request = { type: "reset", device: SSD, method: "function", domain: false } as const;
    kernel.sendAs(who, socket, encodeControlRequest(request));
    await clock.advance(5_000);
    kernel.table.close(socket);
    await clock.advance(0);
  });
  if (who === STRANGER && asked) trial.violated("a stranger resets a device");
  if (resets.made > before && !trial.isLate) resets.checkEnded(ending);
  await trial.act("close the operator's socket", () => Promise.resolve(server.close()));
};

const MAKE_WAY = async (trial: Trial) => {
  const { scene: { guardian }, resets } = trial;
  const ending = resets.ending([SSD]);
  const outcome = await trial.act("make way", () => guardian.makeWay([SSD], "test"));
  if (outcome !== undefined && !trial.isLate) resets.checkEnded(ending);
};

const BAR = 0xfc00_0000;
const PLACE = { bar: 2, offset: 0n, size: 0x100_0000n } as const;
const ENABLED: PlannedMemory = { state: "enabled", ...PLACE, mayEnable: false, base: BigInt(BAR) };
const TO_ENABLE: PlannedMemory = { ...ENABLED, state: "disabled", mayEnable: true };

/** A controller with a memory buffer, as the plan has it. */
function controller(memory: PlannedMemory, specs: readonly GrantSpec[]): Scenario["make"] {
  const { config } = simFunction(SSD);
  new DataView(config.buffer).setUint32(0x18, BAR | 0xc, true);
  const controllerMemory = { state: memory.state, ...PLACE } as const;
  return scene(specs.map((spec) => ({ memory, ...spec })), [
    { config, memories: { controllerMemory } },
  ]);
}

/** The next reset takes the enabling back. */
const loseMemory = (then: (trial: Trial) => Promise<void>) => async (trial: Trial) => {
  for (const { registers } of trial.scene.kernel.devices.values()) {
    if (registers !== undefined) registers.control = 0;
  }
  await then(trial);
};

async function resetSeen(trial: Trial): Promise<void> {
  await trial.act("reset by others", () => trial.scene.touch("reset"));
  await trial.act("after a reset by others", () => trial.scene.clock.advance(10_000));
}

/** Configuration space with power management. */
function withPower(): Uint8Array {
  const { config } = simFunction(SSD);
  const at = 0x60;
  config[6] = (config[6] ?? 0) | 0x10;
  config[0x34] = at;
  config[at] = 1;
  return config;
}

/** The host has no iommufd: the group's devices are had by a container. */
const container: Scenario["make"] = async (faults) => {
  const made = await scene([{}, { name: "stays", onReset: "restore" }], [{ group: 1 }], "group")(
    faults,
  );
  made.trial.scene.kernel.openIommufd = () => {
    throw refusal("open", "ENOENT", "/dev/iommu");
  };
  return made;
};

/** A physical function with a virtual one. */
const physical: Scenario["make"] = async (faults) => {
  const virtual = { virtual: true, physfn: SSD } as const;
  const grants: readonly GrantSpec[] = [{ onReset: "restore" }, {
    ...virtual,
    name: "beside",
    address: BESIDE,
    holds: ["low-power"],
  }];
  const made = await scene(grants, [{}, virtual])(faults);
  const { tree } = made.trial.scene.files;
  tree[`/sys/bus/pci/devices/${SSD}/virtfn0`] = `->../${BESIDE}`;
  return made;
};

/** What is done without a guardian. */
function look(
  name: string,
  of: Partial<SimFunction>,
  work: (trial: Trial) => Promise<unknown>,
): Scenario {
  return {
    name,
    make: scene([{}], [of]),
    async play(trial) {
      await trial.act(name, () => work(trial));
      await trial.end();
    },
  };
}

const ENTRY: SnapshotFunction = {
  address: SSD,
  vendor: "1b36",
  device: "0010",
  class: "010802",
  driver: "vfio-pci",
  parent: "pci0000:00",
  cdev: `/dev/vfio/devices/${SSD}`,
  resetMethods: [],
  bars: [],
  config: "",
  unreadable: [],
} as unknown as SnapshotFunction;

const MEMORY = { controllerMemory: { state: "disabled", ...PLACE } } as const;
const VIRTUAL: GrantSpec = { virtual: true };
const GRACE: GrantSpec = { expiresMs: 1_000, graceMs: 20_000 };

/** The rest. */
export const OTHERS: readonly Scenario[] = [
  story("an operator resets", scene([{}]), asked(OPERATOR)),
  story("an operator resets, restore", scene([{ onReset: "restore" }]), asked(OPERATOR)),
  story("a stranger on the operator's socket", scene([{}]), asked(STRANGER)),
  story(
    "an operator has others make way",
    scene([{}, { name: "stays", onReset: "restore" }]),
    MAKE_WAY,
  ),
  story(
    "a stranger on the channel",
    scene([{ ...GRACE, mapping: "bargate" }, { name: "other" }]),
    async (trial) => {
      await trial.act("a stranger", () => {
        speakAsStranger(trial);
        return trial.scene.clock.advance(100);
      });
      await expire(trial);
    },
  ),
  story("reset in a grace", scene([GRACE]), async (trial) => {
    await trial.act("expiry", () => trial.scene.clock.advance(1_100));
    await reset("function")(trial);
  }),
  story("virtual function, decode off", scene([VIRTUAL]), reset("decode")),
  story(
    "virtual function, D3hot",
    scene([{ ...VIRTUAL, holds: ["d3hot", "low-power"] }], [{
      virtual: true,
      config: withPower(),
    }]),
    reset("decode"),
  ),
  story("physical function, reset", physical, reset("function", [SSD, BESIDE])),
  story("container", container, reset("function")),
  story(
    "two devices",
    scene([{}, { name: "beside", address: BESIDE, onReset: "restore" }], [{}, {}]),
    reset("function"),
  ),
  story("read-only mapping", scene([{ mapping: "bargate", access: "read-only" }]), request),
  story(
    "memory buffer, reset",
    controller(TO_ENABLE, [{ onReset: "restore" }]),
    loseMemory(reset("function")),
  ),
  story(
    "memory buffer, lost",
    controller(ENABLED, [{ onReset: "restore" }, { name: "bells", doorbells: true }]),
    loseMemory(reset("function")),
  ),
  story("memory buffer, revoke", controller(TO_ENABLE, [{}]), loseMemory(reset("function"))),
  story(
    "memory buffer, renewal",
    controller(TO_ENABLE, [{ name: "ends" }, { onReset: "restore" }]),
    loseMemory(reset("function")),
  ),
  story(
    "memory buffer, reset by others",
    controller(TO_ENABLE, [{ onReset: "restore" }]),
    loseMemory(resetSeen),
  ),
  look("ask a controller", { memories: MEMORY }, async ({ port }) => {
    await probeController(port, ENTRY, { mayEnable: true });
  }),
  look("ask a device whether it can export", {}, async ({ port, scene: { clock, plan } }) => {
    await probeLive({ kernel: port, clock }, plan.grants);
  }),
];
