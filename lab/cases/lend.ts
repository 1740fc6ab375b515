/** A device that its owner lends when it is asked for it. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { join } from "../path.ts";
import {
  assertFree,
  assertOver,
  borrowPolicy,
  LabOwner,
  mapUntil,
  OWNER_ENDS,
} from "./owner_support.ts";
import { LabExport, writePolicy } from "./support.ts";

/** For cases that start Bargate many times, on a machine that others use too. */
const LONG_MS = 300_000;

/** The owner is one of the examples'. */
async function lenderStory(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const socket = join(context.scratch, "lender.sock");
  const program = context.program("lender");
  const lender = context.start([program, socket, await context.vfioNode(address), address]);
  await lender.line("stdout", (line) => line === "listening");
  const owner = `{ user: root, executable: ${program}, socket: ${socket} }`;
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner));
  await lender.line("stdout", (line) => line === `lent ${address}`);
  await lender.line("stdout", (line) => line === `returned ${address}`);
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
  lender.kill("SIGKILL");
  await lender.exited();
  await assertOver(lab);
}

/** What an owner can send, and what Bargate says of it. */
interface Answer {
  readonly what: string;
  /** What the owner does before. */
  readonly prepare?: (context: CaseContext) => Promise<string> | string;
  readonly answer: string;
  readonly message: RegExp;
  readonly status: number;
}

const LENT = '{"v":1,"type":"lent"}';

const WRONG: readonly Answer[] = [
  {
    what: "a pipe",
    prepare: () => "pipe",
    answer: `channel-send-fd pipe ${LENT}`,
    message: /sent a descriptor of a pipe, and no VFIO device/,
    status: 4,
  },
  {
    what: "a regular file",
    prepare: async ({ scratch }) => {
      await Deno.writeTextFile(join(scratch, "vfio0"), "vfio-device-syspath: /sys/devices/x");
      return `open file ${scratch}/vfio0`;
    },
    answer: `channel-send-fd file ${LENT}`,
    message: /sent a descriptor of a file \(".*vfio0"\), and no VFIO device/,
    status: 4,
  },
  {
    what: "a dma-buf of the device",
    prepare: () => "export buffer 2",
    answer: `channel-send-fd buffer ${LENT}`,
    message: /sent a descriptor of a dma-buf, and no VFIO device/,
    status: 4,
  },
  {
    what: "another device",
    prepare: async ({ vfioNode, devices }) => `hold ${await vfioNode(devices.nvme2.address)} other`,
    answer: `channel-send-fd other ${LENT}`,
    message: /sent a descriptor of device 0000:02:00.0/,
    status: 4,
  },
  {
    what: "the device, but not bound",
    prepare: async ({ vfioNode, devices }) =>
      `open unbound ${await vfioNode(devices.nvme.address)}`,
    answer: `channel-send-fd unbound ${LENT}`,
    message: /EINVAL/,
    status: 5,
  },
  {
    what: "two descriptors",
    answer: `channel-send-two held held 0 ${LENT}`,
    message: /it sent 2 descriptors where one is asked for/,
    status: 5,
  },
  {
    what: "no descriptor",
    answer: `channel-send ${LENT}`,
    message: /it sent 0 descriptors where one is asked for/,
    status: 5,
  },
  {
    what: "an answer that is too long",
    answer: `channel-send-two held held 70000 ${LENT}`,
    message: /its answer is longer than 65536 bytes/,
    status: 5,
  },
  {
    what: "a refusal",
    answer: 'channel-send {"v":1,"type":"refused","message":"resetting"}',
    message: /it refuses, and says "resetting"/,
    status: 5,
  },
];

async function refusedStory(context: CaseContext): Promise<void> {
  const owner = LabOwner.start(context);
  const path = await writePolicy(context, borrowPolicy(context, await owner.listening()));
  for (const { what, prepare, answer, message, status } of WRONG) {
    await owner.hold();
    if (prepare !== undefined) await owner.control.must(await prepare(context));
    const running = context.startBargate(["export", path, "--exec", "--", "/bin/true"]);
    await owner.lend(answer);
    const ran = await running.wait();
    assert.match(ran.stderr, message, what);
    assert.equal(ran.status, status, `${what}: ${ran.stderr}`);
    for (const name of ["unbound", "held"]) await owner.control.ask(`close ${name}`);
    await assertFree(context);
  }
}

/** Cases of owners that send their device fd. */
export const cases: readonly LabCase[] = [
  {
    name: "lend: the lender in C of examples/clients lends its device, and its death takes it back",
    limitMs: LONG_MS,
    run: lenderStory,
  },
  ...OWNER_ENDS.map(({ how, go }): LabCase => ({
    name: `lend: ${how} ends the grant at once, for no copy is held`,
    limitMs: LONG_MS,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const identity = await owner.listening();
      const [lab] = await Promise.all([
        LabExport.startWith(context, borrowPolicy(context, identity)),
        owner.lend(),
      ]);
      await mapUntil(context, lab, () => go(owner));
      await assertFree(context);
      await assertOver(lab);
    },
  })),
  {
    name: "lend: what is not the device is refused by its name, and nothing of it is kept",
    limitMs: LONG_MS,
    run: refusedStory,
  },
  {
    name: "lend: an owner that does not answer is waited for no longer than 10 s",
    limitMs: LONG_MS,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const path = await writePolicy(context, borrowPolicy(context, await owner.listening()));
      const running = context.startBargate(["export", path, "--exec", "--", "/bin/true"]);
      const question = await owner.asked();
      assert.deepEqual(question, { v: 1, type: "lend", device: context.devices.nvme.address });
      const ran = await running.wait();
      assert.equal(ran.status, 5, ran.stderr);
      assert.match(ran.stderr, /no answer came within 10 s/);
    },
  },
];
