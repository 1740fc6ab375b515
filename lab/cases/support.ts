/** What the cases about Bargate share: a policy, a running export, DMA that lands or does not. @module */
import assert from "node:assert/strict";
import type { Event } from "../../engine/event.ts";
import type { GuestContext } from "../guest/case.ts";
import type { ImporterControl } from "../guest/importer.ts";
import type { Running } from "../guest/process.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";
import { encodeHex } from "../hex.ts";
import { join } from "../path.ts";
import { assertNoFalseAlarm } from "./preflight_support.ts";

/** Where importers map, and how the slice lies in the controller memory buffer. */
export const IOVA = 0x100000;
export const SLICE = { bar: 2, offset: 0x1000, length: 0x2000 } as const;
const SECOND_PAGE = 0x1000;
/** Bytes moved at a time. */
const CHUNK = 64;

/** How often DMA that should land is tried. */
const DMA_TRIES = 3;

/** How long Bargate may take to start an importer, on a machine that others use too. */
const CONNECT_LIMIT_MS = 90_000;

/** The kernel logs a fault from a thread of its own, on a machine that others use too. */
const FAULT_LIMIT_MS = 20_000;

/** What a case changes about the policy. */
export interface PolicySpec {
  readonly address?: string;
  readonly id?: string;
  readonly bar?: number;
  readonly slices?: string;
  readonly mapping?: "bargate" | "importer";
  readonly onReset?: "revoke" | "restore";
  readonly expires?: string;
  readonly grace?: string;
  readonly deny?: string;
  /** How the device is come by; absent: Bargate opens it. */
  readonly acquire?: string;
  /** The importer's identity. */
  readonly identity?: string;
  readonly more?: string;
  /** More of `bargate export`'s command line. */
  readonly flags?: readonly string[];
}

/** The policy of the cases, as YAML. */
export function policyText(context: GuestContext, spec: PolicySpec = {}): string {
  const {
    address = context.devices.nvme.address,
    id = context.devices.nvme.id,
    bar = SLICE.bar,
    slices = `{ offset: ${SLICE.offset}, length: ${SLICE.length} }`,
    mapping = "importer",
    onReset = "revoke",
    grace = "500ms",
    identity = "{ user: nobody }",
    expires,
  } = spec;
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  ssd: { match: { id: "${id}", address: "${address}" }${
    spec.acquire === undefined ? "" : `, ${spec.acquire}`
  } }
importers:
  engine: { identity: ${identity}, driver: iommufd, mapping: ${mapping} }
exports:
  - name: data
    device: ssd
    bar: ${bar}
    slices: [${slices}]
    importers: [engine]
    onReset: ${onReset}
    grace: ${grace}
${expires === undefined ? "" : `    expires: ${expires}\n`}${spec.more ?? ""}${spec.deny ?? ""}`;
}

/** Writes a policy into the case's folder. @returns its path */
export async function writePolicy(context: GuestContext, text: string): Promise<string> {
  const path = join(context.scratch, "policy.yaml");
  await Deno.writeTextFile(path, text);
  return path;
}

/** A running `bargate export` and the importer that it started. */
export class LabExport {
  private constructor(
    private readonly context: GuestContext,
    readonly bargate: Running,
    readonly importer: ImporterControl,
    private readonly ioas: number,
  ) {}

  /** Starts it and waits until the importer can be talked to. */
  static async start(
    context: GuestContext,
    spec: PolicySpec = {},
    start?: StartBargate,
  ): Promise<LabExport> {
    return await LabExport.startWith(context, policyText(context, spec), spec.flags, start);
  }

  /** The same with a policy of the case's own. */
  static async startWith(
    context: GuestContext,
    policy: string,
    flags: readonly string[] = [],
    start: StartBargate = (args) => context.startBargate(args),
  ): Promise<LabExport> {
    const path = await writePolicy(context, policy);
    await assertNoFalseAlarm(policy, flags);
    const importer = context.importer();
    const bargate = start([
      "export",
      path,
      ...flags,
      "--format",
      "jsonl",
      "--exec",
      "--",
      context.program("importer"),
      importer.socketPath,
    ]);
    await unlessEnded(bargate, importer.connected(CONNECT_LIMIT_MS));
    return new LabExport(context, bargate, importer, await setUpEngine(context, importer));
  }

  /** Starts an importer that listens, and Bargate that connects to it; the importer says hello. */
  static async send(
    context: GuestContext,
    spec: PolicySpec = {},
    start: StartBargate = (args) => context.startBargate(args),
  ): Promise<LabExport> {
    const importer = await listeningImporter(context);
    const ioas = await setUpEngine(context, importer.control);
    const bargate = await startSend(context, importer.path, spec, start);
    await unlessEnded(bargate, importer.control.must("channel-accept 30000", 35_000));
    await importer.control.must('channel-send {"type":"hello","v":1}');
    return new LabExport(context, bargate, importer.control, ioas);
  }

  /** Events so far. */
  get events(): readonly Event[] {
    return eventsOf(this.bargate);
  }

  /** Waits for an event. */
  async event(type: Event["type"], limitMs = 20_000): Promise<Event> {
    const line = await this.bargate.line(
      "stdout",
      (text) => text.startsWith("{") && (JSON.parse(text) as Event).type === type,
      limitMs,
    );
    return JSON.parse(line) as Event;
  }

  /** The next packet on the importer's channel. */
  async packet(limitMs = 15_000): Promise<Record<string, unknown>> {
    const answer = await this.importer.must(`channel-recv ${limitMs}`, limitMs + 5_000);
    if (answer["state"] !== "packet") {
      const { stderr } = await this.bargate.wait();
      throw new Error(`no packet: ${JSON.stringify(answer)}; bargate: ${stderr}`);
    }
    return JSON.parse(String(answer["packet"])) as Record<string, unknown>;
  }

  /** Takes packets until one is of this type. */
  async packetOf(type: string, limitMs?: number): Promise<Record<string, unknown>> {
    for (let taken = 0; taken < 20; taken++) {
      const packet = await this.packet(limitMs);
      if (packet["type"] === type) return packet;
    }
    throw new Error(`20 packets and none of them ${type}`);
  }

  /** The importer reads EOF on its channel. */
  async channelEnds(): Promise<void> {
    for (let taken = 0; taken < 20; taken++) {
      const answer = await this.importer.must("channel-recv 15000", 20_000);
      if (answer["state"] === "eof") return;
    }
    throw new Error("20 packets and no EOF");
  }

  /** The importer maps its buffer. */
  async map(name = "data", iova = IOVA): Promise<void> {
    await this.importer.must(`map ${name} ${iova}`);
  }

  /** Bargate maps the buffer for the importer. @returns id of the grant */
  async request(): Promise<string> {
    const iova = `0x${IOVA.toString(16)}`;
    const packet = { type: "request", export: "data", ioas: this.ioas, iova };
    await this.importer.must(`channel-send-fd iommufd ${JSON.stringify(packet)}`);
    const granted = await this.packetOf("granted");
    return String(granted["grant"]);
  }

  /** Lets the importer end, and Bargate with it. */
  async finish(): Promise<number> {
    await this.importer.send("exit 0");
    return (await this.bargate.wait()).status;
  }

  /**
   * The DMA engine reads the slice's first page and writes what it read to the second one. A transfer
   * that is lost is told, counted as a figure of the case, and tried again: a mapping that was revoked never comes back, so that a
   * second one can land only where nothing was taken away.
   *
   * @returns whether the bytes arrived
   */
  async dmaLands(iova = IOVA, address = this.context.devices.nvme.address): Promise<boolean> {
    for (let tries = 0; tries < DMA_TRIES; tries++) {
      const pattern = crypto.getRandomValues(new Uint8Array(CHUNK));
      await this.#write(address, 0, pattern);
      await this.#write(address, SECOND_PAGE, new Uint8Array(CHUNK));
      await this.importer.must(`dma-read ${iova} ${CHUNK}`);
      await this.importer.must(`dma-write ${iova + SECOND_PAGE} ${CHUNK}`);
      const arrived = await this.#read(address, SECOND_PAGE);
      if (equal(arrived, pattern)) return true;
      this.context.figure?.("transfers lost", ++this.#lost);
      await this.#logWhatIsKnown(arrived, equal(await this.#read(address, 0), pattern));
    }
    return false;
  }

  /** DMA that should have landed is the one thing that a stack trace says nothing about. */
  async #logWhatIsKnown(arrived: Uint8Array, written: boolean): Promise<void> {
    const { kernelLog, logStart, log } = this.context;
    log(`no DMA: the second page begins ${encodeHex(arrived.subarray(0, 8))}`);
    log(`no DMA: the first page ${written ? "holds" : "DOES NOT HOLD"} what was written to it`);
    for (const { type, reason, cause } of this.events) {
      log(`no DMA: event ${type} ${reason ?? ""} ${cause?.source ?? ""} ${cause?.detail ?? ""}`);
    }
    for (const line of await kernelLog.since(logStart)) log(`no DMA: kernel: ${line}`);
  }

  /**
   * After an end: whatever is in the engine's buffer is written through the old mapping.
   *
   * @returns whether the second page has changed
   */
  async oldMappingLands(
    iova = IOVA,
    address = this.context.devices.nvme.address,
  ): Promise<boolean> {
    await this.importer.must(`dma-write ${iova + SECOND_PAGE} ${CHUNK}`);
    return !equal(await this.#read(address, SECOND_PAGE), this.#marker);
  }

  /**
   * After an end: what is written through the old mapping does not arrive, and it is the IOMMU that
   * refuses it. An engine that did nothing would leave the page as it is, too.
   */
  async assertOldMappingDead(
    iova = IOVA,
    address = this.context.devices.nvme.address,
  ): Promise<void> {
    const { kernelLog } = this.context;
    const before = await kernelLog.mark();
    assert.equal(await this.oldMappingLands(iova, address), false, "the old mapping is alive");
    await kernelLog.waitForFault(before, FAULT_LIMIT_MS);
  }

  #lost = 0;
  readonly #marker = crypto.getRandomValues(new Uint8Array(CHUNK));

  /** Puts something into the second page that DMA would overwrite. */
  async mark(address = this.context.devices.nvme.address): Promise<void> {
    await this.#write(address, SECOND_PAGE, this.#marker);
  }

  #write(address: string, at: number, bytes: Uint8Array): Promise<void> {
    return this.context.writeBar(address, SLICE.bar, SLICE.offset + at, bytes);
  }

  #read(address: string, at: number): Promise<Uint8Array> {
    return this.context.readBar(address, SLICE.bar, SLICE.offset + at, CHUNK);
  }
}

/** Events that a Bargate has told so far. */
export function eventsOf(bargate: Running): readonly Event[] {
  return bargate.stdout.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event);
}

/** The end of the only grant, as the audit has it. */
export function endOf(events: readonly Event[]): Event {
  const ends = events.filter(({ type }) => type === "ended");
  assert.equal(ends.length, 1, `one end: ${JSON.stringify(events)}`);
  const [end] = ends;
  assert.ok(end !== undefined);
  return end;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** An importer that listens for Bargate, as the account that the policies name. */
export async function listeningImporter(
  context: GuestContext,
): Promise<
  { readonly control: ImporterControl; readonly running: Running; readonly path: string }
> {
  const { uid, gid } = IMPORTER_ACCOUNT;
  const control = context.importer();
  const running = context.start([context.program("importer"), control.socketPath], { uid, gid });
  const path = join(context.scratch, "bargate.sock");
  await control.must(`channel-listen ${path}`);
  return { control, running, path };
}

/** How Bargate is started. @param args of its command line */
export type StartBargate = (args: readonly string[]) => Running;

/** Starts `bargate export --send`. */
export async function startSend(
  context: GuestContext,
  socket: string,
  spec: PolicySpec = {},
  start: StartBargate = (args) => context.startBargate(args),
): Promise<Running> {
  const policy = await writePolicy(context, policyText(context, spec));
  const flags = [...spec.flags ?? [], "--format", "jsonl", "--send", socket];
  return start(["export", policy, ...flags]);
}

/** @returns the engine's IOAS */
async function setUpEngine(context: GuestContext, importer: ImporterControl): Promise<number> {
  const node = await context.vfioNode(context.devices.edu.address);
  const { ioas } = await importer.must(`setup-edu ${node}`);
  return Number(ioas);
}

/** Waits for something that does not come if Bargate has ended. */
async function unlessEnded(bargate: Running, wanted: Promise<unknown>): Promise<void> {
  const ended = bargate.wait(CONNECT_LIMIT_MS).then((ran) => {
    throw new Error(`bargate ended with status ${ran.status}: ${ran.stderr}${ran.stdout}`);
  });
  await Promise.race([wanted, ended]);
  void Promise.allSettled([ended, wanted]);
}
