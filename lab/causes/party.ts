/** A guardian and its importer, again and again: what ends is begun anew while causes go on. @module */
import type { CaseContext } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";
import type { LendingKernel } from "./lending_kernel.ts";
import { Life } from "./life.ts";
import { Player } from "./player.ts";
import { type PartySpec, policyOf } from "./scenario.ts";
import type { Violations } from "./violations.ts";

/** Between the end of a life and the next one, ms. */
const PAUSE_MS = 50;
/** An end that begins at once is followed by another try, but not for ever. */
const MOST_LIVES = 6;

/** A life, and who was its importer. */
export interface Lived {
  readonly life: Life;
  player: Player;
}

/** One of them. */
export class Party {
  readonly lived: Lived[] = [];
  readonly #context: CaseContext;
  #over = false;
  #running: Promise<void> = Promise.resolve();
  #listener: { player: Player; running: Running; socket: string } | undefined;

  constructor(
    readonly spec: PartySpec,
    context: CaseContext,
    private readonly kernel: LendingKernel,
    private readonly violations: Violations,
  ) {
    this.#context = context;
  }

  /** The life that goes on, or the last one. */
  get current(): Lived | undefined {
    return this.lived.at(-1);
  }

  /** Begins the first life, and others after it. */
  start(): void {
    this.#running = this.#run();
  }

  /** No new lives from here on. @returns the one that goes on, once it has begun */
  async hold(): Promise<Lived | undefined> {
    this.#over = true;
    const { current } = this;
    await current?.life.begun;
    return current?.life.end === undefined ? current : undefined;
  }

  /** Resolves when the last life is over. */
  async over(): Promise<void> {
    this.#over = true;
    await this.#running;
  }

  /** Gives back what is left of the importers. */
  async close(): Promise<void> {
    for (const player of this.players) {
      await player.stop();
      if (player.alive) await player.exit();
    }
    await this.#listener?.running.exited(20_000);
    for (const player of this.players) player.control.close();
  }

  get players(): readonly Player[] {
    const players = this.lived.map(({ player }) => player);
    const waiting = this.#listener === undefined ? [] : [this.#listener.player];
    return [...new Set([...players, ...waiting])];
  }

  async #run(): Promise<void> {
    while (!this.#over && this.lived.length < MOST_LIVES) {
      const lived = this.spec.way === "send" ? await this.#send() : this.#exec();
      if (lived === undefined) return;
      const { life, player } = lived;
      await life.ended;
      // What it was told last is read before it is talked to again.
      await player.channelOver();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #send(): Promise<Lived | undefined> {
    const { player, socket } = await this.#listening();
    if (this.#over) return undefined;
    const accept = async () => {
      const accepted = await player.ask("channel-accept 3000");
      if (!accepted?.ok) return;
      player.listen();
      await player.tell({ type: "hello", v: 1 });
      await this.#request(player);
    };
    const life = this.#life({ way: "send", socket, accept });
    const lived = { life, player };
    this.lived.push(lived);
    return lived;
  }

  /** The importer that listens, a new one if that has gone. */
  async #listening() {
    const known = this.#listener;
    if (known?.player.alive) return known;
    await known?.running.exited(20_000);
    const control = this.#context.importer();
    const player = new Player(control, this.spec.manners, this.violations);
    const { uid, gid } = IMPORTER_ACCOUNT;
    const program = this.#context.program("importer");
    const running = this.#context.start([program, control.socketPath], { uid, gid });
    const socket = `${control.socketPath}-grants`;
    this.#listener = { player, running, socket };
    await player.begin(await this.#edu());
    const listens = await player.ask(`channel-listen ${socket}`);
    this.violations.unless(listens?.ok !== false, () => `the importer does not listen: ${socket}`);
    return this.#listener;
  }

  #exec(): Lived {
    const control = this.#context.importer();
    const player = new Player(control, this.spec.manners, this.violations);
    const life = this.#life({
      way: "exec",
      program: this.#context.program("importer"),
      argument: control.socketPath,
    });
    const lived = { life, player };
    this.lived.push(lived);
    void this.#attach(life, player).catch((error: unknown) =>
      this.violations.add(`the importer could not be set up: ${error}`)
    );
    return lived;
  }

  /** A program goes on when it has nothing any more; then it is made to end. */
  async #attach(life: Life, player: Player): Promise<void> {
    await life.begun;
    if (life.end !== undefined) return;
    // Its end may be asked for before it is set up.
    const ready = player.control.connected().then(async () => player.begin(await this.#edu()));
    const [set] = await Promise.allSettled([Promise.race([ready, life.ended])]);
    if (set.status === "rejected") {
      if (await Promise.race([life.ended, pause(5_000)]) === undefined) throw set.reason;
    }
    if (!player.alive) {
      void Promise.allSettled([ready]);
      return;
    }
    player.listen();
    await this.#request(player);
    while (life.end === undefined) {
      if (!someStand(life)) await player.exit();
      await pause(PAUSE_MS);
    }
    player.expectToGo();
  }

  async #request(player: Player): Promise<void> {
    if (this.spec.mapping === "importer") return;
    for (const { name } of this.spec.exports) await player.request(name);
  }

  async #edu(): Promise<string | undefined> {
    const { devices, vfioNode } = this.#context;
    return this.spec.engine ? await vfioNode(devices.edu.address) : undefined;
  }

  #life(recipient: ConstructorParameters<typeof Life>[3]): Life {
    const { devices } = this.#context;
    const addresses = this.spec.devices.map((role) => devices[role].address);
    return new Life(this.kernel, policyOf(devices, this.spec), addresses, recipient);
  }
}

function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms));
}

/** Whether a grant was exported of which no end was told. */
export function someStand({ told }: Life): boolean {
  const of = (wanted: string) =>
    new Set(told.filter(({ event }) => event.type === wanted).map(({ event }) => event.grant));
  const ended = of("ended");
  return [...of("exported")].some((grant) => !ended.has(grant));
}
