/** The importer of a party: a real process, and what it does of itself. @module */
import type { ImporterAnswer, ImporterControl } from "../guest/importer.ts";
import { ImporterError } from "../guest/importer.ts";
import type { Manners } from "./scenario.ts";
import { SLICE_BYTES } from "./scenario.ts";
import type { Violations } from "./violations.ts";

/** What the importer has of a grant. */
export interface Holding {
  readonly grant: string;
  /** `policy/export` */
  readonly export: string;
  /** Of its descriptors, in the importer; Bargate maps where there are none. */
  readonly names: string[];
  /** Where it is, or was, mapped. */
  readonly iovas: number[];
  /** It was told that it has ended. */
  revoked: boolean;
  /** It has closed its channel before, and so is told nothing of it any more. */
  deaf: boolean;
}

type Packet = Readonly<Record<string, unknown>>;

const FIRST_IOVA = 0x100000;
const IOVA_STEP = 0x10000;
/** How long the process waits for a packet before it does something else, ms. */
const LISTEN_MS = 20;
/** A `slow` importer lets go after so many looks into its channel. */
const SLOW_LOOKS = 4;
const CHANNEL = "bargate";

/** Plays an importer. */
export class Player {
  readonly holdings: Holding[] = [];
  pid = 0;
  ioas = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #nextIova = FIRST_IOVA;
  #alive = false;
  #expectedToGo = false;
  #connected = false;
  #hungUp = false;
  #letGoLater: { holding: Holding; looks: number }[] = [];
  #pumping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    readonly control: ImporterControl,
    private readonly manners: Manners,
    private readonly violations: Violations,
  ) {}

  /** Whether the process is set up, and answers. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Whether Bargate is at the other end of its channel, as far as it knows. */
  get connected(): boolean {
    return this.#alive && this.#connected;
  }

  /** Whether it has closed its channel of itself. */
  get hungUp(): boolean {
    return this.#hungUp;
  }

  /** Sets the process up, once it is there. */
  async begin(edu: string | undefined): Promise<void> {
    const { pid } = await this.control.must("ids", 30_000);
    this.pid = Number(pid);
    const set = await this.control.must(edu === undefined ? "setup-plain" : `setup-edu ${edu}`);
    this.ioas = Number(set["ioas"]);
    this.#alive = true;
  }

  /**
   * Gives a command, after those that were given before.
   *
   * @returns the answer; `undefined` of a process that has gone
   */
  ask(command: string): Promise<ImporterAnswer | undefined> {
    const answer = this.#turn.then(async () => {
      if (!this.#alive) return undefined;
      try {
        return await this.control.ask(command, 20_000);
      } catch (error) {
        if (!isGone(error)) throw error;
        this.#alive = false;
        if (!this.#expectedToGo) {
          this.violations.add(`the importer did not answer "${command}": ${error.message}`);
        }
        return undefined;
      }
    });
    this.#turn = Promise.allSettled([answer]);
    return answer;
  }

  /** From here on it listens to its channel, and does what its manners are. */
  listen(): void {
    this.#connected = true;
    this.#hungUp = false;
    this.#pumping = this.#pump();
  }

  /** Resolves when its channel is over, or it is. */
  async channelOver(): Promise<void> {
    await this.#pumping;
  }

  /** No more of itself. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#pumping;
  }

  /** It will be gone: that it does not answer any more is no surprise. */
  expectToGo(): void {
    this.#expectedToGo = true;
  }

  /** Ends by itself. */
  async exit(): Promise<void> {
    this.expectToGo();
    await this.#turn;
    if (!this.#alive) return;
    this.#alive = false;
    await this.control.send("exit 0").catch((error: unknown) => {
      if (!isGone(error)) throw error;
    });
  }

  /** @param signal for the process */
  signal(signal: Deno.Signal): void {
    // What was told to exit while it was stopped goes only once it goes on.
    if (this.pid === 0 || !this.#alive && signal !== "SIGCONT") return;
    if (signal === "SIGKILL") this.expectToGo();
    try {
      Deno.kill(this.pid, signal);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Closes its channel. */
  async hangUp(): Promise<void> {
    this.#hungUp = true;
    for (const holding of this.holdings) holding.deaf = true;
    await this.#closeChannel();
  }

  async #closeChannel(): Promise<void> {
    if (!this.#connected) return;
    this.#connected = false;
    await this.ask(`close ${CHANNEL}`);
  }

  /** Sends a packet; whether Bargate is there to read it is another question. */
  async tell(packet: Packet): Promise<void> {
    if (this.#connected) await this.ask(`channel-send ${JSON.stringify(packet)}`);
  }

  /** Asks Bargate to map an export. */
  async request(name: string): Promise<void> {
    if (!this.#connected) return;
    const iova = `0x${this.#iova().toString(16)}`;
    const packet = { type: "request", export: name, ioas: this.ioas, iova };
    await this.ask(`channel-send-fd iommufd ${JSON.stringify(packet)}`);
  }

  /** Maps a buffer, in an address space of its own. @returns whether the kernel did it */
  async map(holding: Holding): Promise<boolean> {
    const [name] = holding.names;
    if (name === undefined) return false;
    const iova = this.#iova();
    const mapped = (await this.ask(`map ${name} ${iova}`))?.ok ?? false;
    if (mapped) holding.iovas.push(iova);
    return mapped;
  }

  /** Copies an area: the copy needs no descriptor. */
  async copy(holding: Holding): Promise<void> {
    const [from] = holding.iovas;
    if (from === undefined) return;
    const iova = this.#iova();
    const copied = await this.ask(`copy ${from} ${SLICE_BYTES} ${iova}`);
    if (copied?.ok) holding.iovas.push(iova);
  }

  async unmap(holding: Holding): Promise<void> {
    for (const iova of holding.iovas.splice(0)) await this.ask(`unmap ${iova} ${SLICE_BYTES}`);
  }

  async close(holding: Holding): Promise<void> {
    for (const name of holding.names.splice(0)) await this.ask(`close ${name}`);
  }

  async duplicate(holding: Holding): Promise<void> {
    const [name] = holding.names;
    if (name === undefined) return;
    const as = `dup${this.#iova()}`;
    if ((await this.ask(`dup ${name} ${as}`))?.ok) holding.names.push(as);
  }

  /**
   * Tries to import a buffer by a descriptor that it kept.
   *
   * @returns `ok`, or the errno's name; `undefined` without a descriptor, or without a process
   */
  async tryImport(holding: Holding): Promise<string | undefined> {
    const name = holding.names.at(-1);
    if (name === undefined) return undefined;
    const answer = await this.ask(`try-map ${name}`);
    return answer === undefined ? undefined : answer.ok ? "ok" : String(answer.error);
  }

  #iova(): number {
    const iova = this.#nextIova;
    this.#nextIova += IOVA_STEP;
    return iova;
  }

  async #pump(): Promise<void> {
    while (this.connected && !this.#stopped) {
      const answer = await this.ask(`channel-recv ${LISTEN_MS}`);
      if (!this.#connected || answer === undefined) return;
      if (answer.ok && answer["state"] === "eof") return await this.#closeChannel();
      if (answer.ok) await this.#take(answer);
      await this.#ofItself();
    }
  }

  async #take(answer: ImporterAnswer): Promise<void> {
    const packet = JSON.parse(String(answer["packet"])) as Packet;
    const holding = this.holdings.find(({ grant }) => grant === packet["grant"]);
    switch (packet["type"]) {
      case "granted":
        return await this.#granted(packet, answer);
      case "restored":
        if (holding !== undefined && packet["after"] === "dead") {
          await this.unmap(holding);
          await this.map(holding);
        }
        return;
      case "revoking":
        if (holding !== undefined) await this.#asked(holding);
        return;
      case "revoked":
        if (holding === undefined) return;
        holding.revoked = true;
        await this.#attack(holding);
    }
  }

  async #granted(packet: Packet, answer: ImporterAnswer): Promise<void> {
    const name = packet["fdName"] ??
      (answer["fds"] === 1 ? `received${answer["first"]}` : undefined);
    const { iova } = packet;
    const holding: Holding = {
      grant: String(packet["grant"]),
      export: String(packet["export"]),
      names: name === undefined ? [] : [String(name)],
      iovas: iova === undefined ? [] : [Number(iova)],
      revoked: false,
      deaf: false,
    };
    this.holdings.push(holding);
    if (name !== undefined) await this.map(holding);
  }

  async #asked(holding: Holding): Promise<void> {
    if (this.manners === "polite") await this.#letGo(holding);
    if (this.manners === "slow") this.#letGoLater.push({ holding, looks: SLOW_LOOKS });
  }

  async #letGo(holding: Holding): Promise<void> {
    await this.unmap(holding);
    await this.close(holding);
    await this.tell({ type: "ack", grant: holding.grant });
  }

  async #ofItself(): Promise<void> {
    for (const later of this.#letGoLater) later.looks--;
    const due = this.#letGoLater.filter(({ looks }) => looks <= 0);
    this.#letGoLater = this.#letGoLater.filter(({ looks }) => looks > 0);
    for (const { holding } of due) await this.#letGo(holding);
    if (this.manners !== "hostile") return;
    for (const holding of this.holdings.filter(({ revoked }) => revoked).slice(-2)) {
      await this.#attack(holding);
    }
  }

  /** What was said to have ended cannot be imported, at no time. */
  async #attack(holding: Holding): Promise<void> {
    const answer = await this.tryImport(holding);
    if (answer === undefined || answer === "ENODEV") return;
    this.violations.add(
      `grant ${holding.grant} (${holding.export}) was said to have ended, and its import answers ${answer}`,
    );
  }
}

function isGone(error: unknown): error is Error {
  return error instanceof ImporterError || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BadResource;
}
