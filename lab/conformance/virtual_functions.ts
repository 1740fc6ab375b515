/**
 * What holds and what validates the buffers of a virtual function, and who may open one. Each is run
 * on the real kernel (lab/cases) and on the simulation (tests/sim): where they differ, the kernel is
 * right.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { answerOf, exportPage, isLive, type OpenDevice, type Port } from "./port.ts";

const CONFIG = 7;
const COMMAND = 4n;
const MEMORY = 0x2;
const CAPABILITIES = 0x34;
const POWER_MANAGEMENT = 1;
const PMCSR = 4;

async function pmcsrOf({ lane, device }: OpenDevice): Promise<bigint> {
  const config = await lane.readRegion(device, CONFIG, 0n, 256);
  for (let at = config[CAPABILITIES] ?? 0; at !== 0; at = config[at + 1] ?? 0) {
    if (config[at] === POWER_MANAGEMENT) return BigInt(at + PMCSR);
  }
  throw new Error("no power management");
}

/** Writes a 16-bit register of config space. */
async function write({ lane, device }: OpenDevice, at: bigint, value: number): Promise<void> {
  await lane.writeRegion(device, CONFIG, at, new Uint8Array([value & 0xff, value >> 8]));
}

/**
 * A virtual function has no memory bit: to write it is a bounce, either way.
 *
 * @param on an open virtual function
 */
export async function memoryBitOfVfIsBounce(on: OpenDevice): Promise<void> {
  const buffer = await exportPage(on);
  const [before] = await on.lane.readRegion(on.device, CONFIG, COMMAND, 2);
  assert.equal((before ?? 0) & MEMORY, MEMORY, "it reads as on after the open");
  await write(on, COMMAND, 0);
  const [after] = await on.lane.readRegion(on.device, CONFIG, COMMAND, 2);
  assert.equal((after ?? 0) & MEMORY, 0, "it reads as off, which says nothing");
  assert.ok(await isLive(on, buffer), "off holds nothing");
  await write(on, COMMAND, MEMORY);
  assert.ok(await isLive(on, buffer));
  await on.lane.close(buffer);
}

/**
 * D3hot holds, whatever is written to the memory bit. A reset ends it.
 *
 * @param on an open virtual function
 */
export async function d3hotHoldsVf(on: OpenDevice): Promise<void> {
  const [buffer, pmcsr] = [await exportPage(on), await pmcsrOf(on)];
  const state = async () => {
    const [register = 0] = await on.lane.readRegion(on.device, CONFIG, pmcsr, 1);
    return register & 3;
  };
  await write(on, pmcsr, 3);
  assert.equal(await state(), 3);
  assert.ok(!await isLive(on, buffer), "D3hot revokes");
  const born = await exportPage(on);
  assert.ok(!await isLive(on, born), "what is exported then is born revoked");
  await on.lane.close(born);
  for (const command of [0, MEMORY]) {
    await write(on, COMMAND, command);
    assert.ok(!await isLive(on, buffer), "the memory bit validates nothing in D3hot");
  }
  await on.lane.resetDevice(on.device);
  assert.equal(await state(), 0, "a reset brings D0");
  assert.ok(await isLive(on, buffer), "and with it the buffer");
  await write(on, pmcsr, 3);
  await write(on, pmcsr, 0);
  assert.ok(await isLive(on, buffer), "D0 validates");
  await on.lane.close(buffer);
}

/**
 * Low power holds until it is left, a reset is made, or the memory bit is written.
 *
 * @param on an open virtual function
 */
export async function lowPowerHoldsVf(on: OpenDevice): Promise<void> {
  const { lane, device } = on;
  const buffer = await exportPage(on);
  await lane.enterLowPower(device);
  assert.ok(!await isLive(on, buffer), "low power revokes");
  await lane.readRegion(device, CONFIG, COMMAND, 2);
  assert.ok(!await isLive(on, buffer), "and stays so when the device is touched");
  const born = await exportPage(on);
  assert.ok(await isLive(on, born), "but what is exported then is born live");
  await lane.close(born);
  await lane.resetDevice(device);
  assert.ok(await isLive(on, buffer), "a reset validates");
  assert.equal(await answerOf(lane.enterLowPower(device)), "EINVAL", "it is entered still");
  assert.ok(!await isLive(on, buffer), "and the refused entry revokes");
  await lane.exitLowPower(device);
  assert.ok(await isLive(on, buffer), "its end validates");
  for (const command of [0, MEMORY]) {
    await lane.enterLowPower(device);
    await write(on, COMMAND, command);
    assert.ok(await isLive(on, buffer), "the memory bit validates in low power");
    await lane.exitLowPower(device);
  }
  await lane.close(buffer);
}

/**
 * A close in whatever hold ends everything for good, and the device can be opened again as new.
 *
 * @param on an open virtual function; it is closed
 * @param reopen opens it again
 */
export async function closeInHoldIsForGood(
  on: OpenDevice,
  reopen: () => Promise<Fd>,
): Promise<void> {
  const pmcsr = await pmcsrOf(on);
  let { device } = on;
  for (
    const hold of [
      (now: OpenDevice) => write(now, pmcsr, 3),
      (now: OpenDevice) => now.lane.enterLowPower(now.device),
    ]
  ) {
    const old = await exportPage({ ...on, device });
    await hold({ ...on, device });
    await on.lane.close(device);
    device = await reopen();
    const fresh = await exportPage({ ...on, device });
    assert.ok(await isLive(on, fresh), "the new generation is awake");
    assert.ok(!await isLive(on, old), "the old one is dead");
    await on.lane.close(fresh);
    await on.lane.close(old);
  }
  await on.lane.close(device);
}

/**
 * What is done to the physical function revokes nothing of its virtual functions.
 *
 * @param on an open virtual function
 * @param reset resets the physical function
 */
export async function pfResetLeavesVf(on: OpenDevice, reset: () => Promise<void>): Promise<void> {
  const buffer = await exportPage(on);
  await reset();
  assert.ok(await isLive(on, buffer));
  await on.lane.close(buffer);
}

/**
 * A physical function that has virtual ones stays in D0: to write D3hot is a bounce, and no hold.
 *
 * @param on an open physical function, which has virtual ones
 */
export async function pfWithVfsStaysAwake(on: OpenDevice): Promise<void> {
  const [buffer, pmcsr] = [await exportPage(on), await pmcsrOf(on)];
  await write(on, pmcsr, 3);
  const [register = 0] = await on.lane.readRegion(on.device, CONFIG, pmcsr, 1);
  assert.equal(register & 3, 0, "it reads as D0");
  assert.ok(await isLive(on, buffer));
  await on.lane.close(buffer);
}

/** Where a physical function under vfio-pci and one of its virtual functions are opened. */
export interface TokenNodes {
  /** Character devices. */
  readonly pf: string;
  readonly vf: string;
  /** The virtual function's group, and its name in it. */
  readonly vfGroup: string;
  readonly vfAddress: string;
}

/** Tokens of the cases. */
export const RIGHT = "00112233-4455-6677-8899-aabbccddeeff";
const WRONG = "ffffffff-4455-6677-8899-aabbccddeeff";

/** Opens and binds. @returns the device, which is the caller's */
export async function openBound(
  { kernel, lane }: Port,
  node: string,
  token?: string,
): Promise<Fd> {
  const device = await lane.openNode(node);
  const iommufd = kernel.openIommufd();
  try {
    await lane.bindIommufd(device, iommufd, token);
    return device;
  } catch (error) {
    await lane.close(device);
    throw error;
  } finally {
    // The bind keeps it.
    await lane.close(iommufd);
  }
}

async function openByGroup(
  { kernel, lane }: Port,
  { vfGroup, vfAddress }: TokenNodes,
  token?: string,
): Promise<Fd> {
  const group = await lane.openShared(vfGroup);
  const iommufd = kernel.openIommufd();
  try {
    await lane.setContainer(group, iommufd);
    return await lane.groupDevice(group, vfAddress, token);
  } finally {
    await lane.close(group);
    await lane.close(iommufd);
  }
}

/**
 * Under vfio-pci the physical function's token is what its virtual functions are opened with.
 *
 * @param port a port
 * @param nodes where both are opened
 */
export async function tokensGuardVfs(port: Port, nodes: TokenNodes): Promise<void> {
  const { lane } = port;
  const tried = async (open: Promise<Fd>) => {
    const answer = await answerOf(open);
    if (answer === "done") await lane.close(await open);
    return answer;
  };
  assert.equal(await tried(openBound(port, nodes.vf)), "EACCES", "nobody has set a token yet");
  const pf = await openBound(port, nodes.pf, RIGHT);
  for (
    const open of [
      (token?: string) => openBound(port, nodes.vf, token),
      (token?: string) => openByGroup(port, nodes, token),
    ]
  ) {
    assert.equal(await tried(open()), "EACCES", "none");
    assert.equal(await tried(open(WRONG)), "EACCES", "a wrong one");
    assert.equal(await tried(open(RIGHT)), "done", "the right one");
    assert.equal(await tried(open(RIGHT.toUpperCase())), "done", "in capitals");
  }
  await lane.close(pf);
  assert.equal(await tried(openBound(port, nodes.vf)), "EACCES", "the token stays with the PF");
  const vf = await openBound(port, nodes.vf, RIGHT);
  assert.equal(await tried(openBound(port, nodes.pf)), "EACCES", "a PF whose VF is open needs it");
  assert.equal(await tried(openBound(port, nodes.pf, WRONG)), "EACCES");
  assert.equal(await tried(openBound(port, nodes.pf, RIGHT)), "done");
  await lane.close(vf);
  assert.equal(await tried(openBound(port, nodes.pf, WRONG)), "done", "nobody uses it: a new one");
  assert.equal(await tried(openBound(port, nodes.vf, RIGHT)), "EACCES");
  assert.equal(await tried(openBound(port, nodes.vf, WRONG)), "done");
}
