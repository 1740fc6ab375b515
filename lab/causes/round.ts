/** One round: lives begin, causes come, and what must hold is looked at. @module */
import type { CaseContext } from "../guest/case.ts";
import { until } from "../guest/until.ts";
import { act } from "./acts.ts";
import { hasMemoryBit, memoryBit, repair } from "./hardware.ts";
import type { Told } from "./life.ts";
import { type LendingKernel, ownDescriptors } from "./lending_kernel.ts";
import { type Deed, isEnding, judge, overdue, type Setting, standing } from "./oracle.ts";
import { type Lived, Party } from "./party.ts";
import { tellLostTransfer } from "./lost_transfer.ts";
import type { Holding, Player } from "./player.ts";
import {
  type Cause,
  type CauseKind,
  describe,
  type ExportSpec,
  type Scenario,
  scenarioOf,
} from "./scenario.ts";
import { Violations } from "./violations.ts";

const PCI = "/sys/bus/pci/devices";
const BAR = 2;
const SECOND_PAGE = 0x1000;
/** What is read of a device that decodes nothing. */
const NOTHING = 0xff;
/** Bytes moved at a time. */
const CHUNK = 64;
/** How often DMA that should land is tried. */
const DMA_TRIES = 3;
/** How long anything may take that has to come, ms. */
const PATIENCE_MS = 30_000;
/** How long all of it may take, on a machine that others use too, ms. */
const ROUND_MS = 150_000;

/** What a round did, for the summary. */
export interface RoundFigures {
  readonly grants: number;
  readonly lives: number;
  /** Causes that took effect. */
  readonly done: number;
  /** DMA by which was looked whether a slice can be reached. */
  readonly transfers: number;
}

/**
 * Plays a round.
 *
 * @param context of the case
 * @param kernel of the guardians
 * @param seed which round
 * @returns what it did
 * @throws Error with the seed, the causes and the events, if something was wrong
 */
export async function playRound(
  context: CaseContext,
  kernel: LendingKernel,
  seed: number,
): Promise<RoundFigures> {
  const round = new Round(context, kernel, scenarioOf(seed));
  try {
    const figures = await within(round.play(), () => "the round to be over", ROUND_MS);
    if (figures !== undefined) return figures;
  } catch (error) {
    const what = error instanceof Error ? error.stack : error;
    throw new RoundError(`Seed ${seed}: ${what}\n${round.story()}`, true, { cause: error });
  }
  throw new RoundError(`Seed ${seed}:\n${round.story()}`, false);
}

/** A round in which something was wrong; the message tells all of it. */
export class RoundError extends Error {
  override readonly name = "RoundError";

  /**
   * @param message the story of the round
   * @param stuck it did not even come to its end
   * @param options the cause
   */
  constructor(message: string, readonly stuck: boolean, options?: ErrorOptions) {
    super(message, options);
  }
}

class Round {
  readonly #violations = new Violations();
  readonly #deeds: Deed[] = [];
  readonly #parties: readonly Party[];
  readonly #began = performance.now();
  #transfers = 0;

  constructor(
    private readonly context: CaseContext,
    private readonly kernel: LendingKernel,
    private readonly scenario: Scenario,
  ) {
    this.#parties = scenario.parties.map((spec) =>
      new Party(spec, context, kernel, this.#violations)
    );
  }

  /** @returns absent: something was wrong */
  async play(): Promise<RoundFigures | undefined> {
    const before = ownDescriptors();
    for (const party of this.#parties) party.start();
    await this.#firstLives();
    await this.#letHappen();
    await this.#repair();
    for (const lived of await Promise.all(this.#parties.map((party) => party.hold()))) {
      if (lived !== undefined) await this.#checkStanding(lived);
    }
    await Promise.all(this.#parties.map((party) => this.#endParty(party)));
    await this.#checkEnded();
    await Promise.all(this.#parties.map((party) => party.close()));
    await this.#checkLeft(before);
    return this.#violations.found.length === 0 ? this.#figures() : undefined;
  }

  /** Where devices are whole, a life begins. */
  async #firstLives(): Promise<void> {
    await Promise.all(this.#parties.map(async (party) => {
      const lived = await until("a life", PATIENCE_MS, () => party.current);
      if (this.scenario.early) return;
      await lived.life.begun;
      const { end } = lived.life;
      this.#violations.unless(
        end?.refused === undefined,
        () => `the first life could not begin: ${end?.refused}`,
      );
    }));
  }

  // ── causes ──────────────────────────────────────────────────────────────────────────────────────

  async #letHappen(): Promise<void> {
    await Promise.all(this.scenario.causes.map(async (cause) => {
      await new Promise((resolve) => setTimeout(resolve, cause.atMs));
      await this.#happen(cause);
    }));
  }

  async #happen(cause: Cause): Promise<void> {
    const { address } = this.context.devices[cause.device];
    const deed = this.#deed(cause.kind, address);
    const stage = { context: this.context, parties: this.#parties };
    await within(act(stage, cause, deed), () => `${cause.kind} of ${cause.device} to be over`);
  }

  #deed(kind: CauseKind, device: string): Deed {
    const deed: Deed = { kind, device, begunAt: performance.now() };
    this.#deeds.push(deed);
    return deed;
  }

  async #repair(): Promise<void> {
    for (const role of ["nvme", "nvme2"] as const) await repair(this.context.devices[role]);
  }

  // ── what goes on ────────────────────────────────────────────────────────────────────────────────

  #setting(party: Party): Setting {
    return { exports: party.spec.exports, deeds: this.#deeds };
  }

  /** What was ended is over by now, and what was not works. */
  async #checkStanding(lived: Lived): Promise<void> {
    const party = this.#parties.find((each) => each.lived.includes(lived));
    if (party === undefined) return;
    const { life, player } = lived;
    let left: readonly string[] = [];
    try {
      await until("ends", PATIENCE_MS, () => {
        if (life.end !== undefined) return true;
        left = overdue(life.told, this.#setting(party));
        return left.length === 0 && !isEnding(life.told) || undefined;
      });
    } catch {
      this.#violations.add(`stands for too long: ${left.join(", ") || "an end that has begun"}`);
    }
    for (const { event } of standing(life.told)) {
      await this.#checkWorks(lived, player, String(event.grant));
    }
    await this.#checkMapped(player);
  }

  async #checkWorks({ life }: Lived, player: Player, grant: string): Promise<void> {
    const holding = player.holdings.find((each) => each.grant === grant);
    if (holding === undefined || !player.connected) return;
    const stands = () =>
      life.end === undefined &&
      !life.told.some(({ event }) => event.grant === grant && event.type === "revoking");
    const answer = await player.tryImport(holding);
    if (!stands() || answer === undefined) return;
    this.#violations.unless(
      answer === "ok",
      () => `${holding.export} (${grant}) stands, and its import answers ${answer}`,
    );
    const spec = this.#specOf(holding);
    if (spec === undefined || !this.#hasEngine(player) || !await player.map(holding)) return;
    const lands = await this.#lands(player, spec, holding.iovas.at(-1) ?? 0);
    if (lands || !stands() || await this.#isToldDark(life, spec)) return;
    this.#violations.add(`${holding.export} (${grant}) stands, and no DMA lands`);
  }

  /** Resets that cross each other can leave a device that decodes nothing. That is found late, and told. */
  async #isToldDark(life: Lived["life"], spec: ExportSpec): Promise<boolean> {
    const { address } = this.context.devices[spec.device];
    if (await hasMemoryBit(`${PCI}/${address}`)) return false;
    return await until("a dark device to be told", PATIENCE_MS, () => {
      const isTold = ({ event: { type, device, cause } }: Told) =>
        type === "observed" && device === address && cause?.source === "command register";
      return life.end !== undefined || life.told.some(isTold) || undefined;
    });
  }

  #specOf({ export: of }: Holding): ExportSpec | undefined {
    return this.#parties.flatMap(({ spec }) => spec.exports)
      .find(({ name }) => of === `causes/${name}`);
  }

  #hasEngine(player: Player): boolean {
    return player.alive &&
      this.#parties.some((party) => party.spec.engine && party.players.includes(player));
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  async #endParty(party: Party): Promise<void> {
    const { current } = party;
    if (current !== undefined && current.life.end === undefined) {
      await this.#endLife(party, current);
    }
    await within(party.over(), () => `party ${party.spec.name} to end`);
    for (const { life, player } of party.lived) {
      const { end } = life;
      if (end?.error !== undefined) {
        this.#violations.add(`threw ${end.error instanceof Error ? end.error.stack : end.error}`);
      }
      this.#violations.unless(end?.trouble === false, () => "a life ended with trouble");
      const refused = end?.refused !== undefined;
      judge(life.told, { ...this.#setting(party), refused }, this.#violations);
      this.#checkTold(life.told, player);
    }
  }

  async #endLife(party: Party, { life, player }: Lived): Promise<void> {
    const [role] = party.spec.devices;
    const last = (kind: CauseKind) =>
      this.#deed(kind, this.context.devices[role ?? "nvme"].address);
    const alone = party.spec.way === "exec" && party.spec.last === "hang-up";
    switch (player.alive && !alone ? party.spec.last : "shutdown") {
      case "shutdown":
        last("shutdown");
        if (party.spec.way === "exec") player.expectToGo();
        return await life.guardian?.shutdown("SIGTERM");
      case "kill":
        last("kill");
        return player.signal("SIGKILL");
      case "exit":
        last("exit");
        return await player.exit();
      case "hang-up":
        last("hang-up");
        return await player.hangUp();
    }
  }

  /** Who reads until the end was told of every end. */
  #checkTold(told: Lived["life"]["told"], player: Player): void {
    if (!player.alive || player.hungUp) return;
    for (const { event } of told) {
      if (event.type !== "ended") continue;
      const holding = player.holdings.find(({ grant }) => grant === event.grant);
      if (holding === undefined || holding.revoked || holding.deaf) continue;
      this.#violations.add(`nobody told the importer of the end of ${event.export}`);
    }
  }

  // ── after the end ───────────────────────────────────────────────────────────────────────────────

  /** The old descriptors import nothing, and the old mappings lead nowhere. */
  async #checkEnded(): Promise<void> {
    for (const player of this.#parties.flatMap((party) => party.players)) {
      for (const holding of player.holdings) {
        const answer = await player.tryImport(holding);
        if (answer === undefined || answer === "ENODEV") continue;
        this.#violations.add(
          `${holding.export} (${holding.grant}) has ended, and its import answers ${answer}`,
        );
      }
    }
    // Nobody watches any more.
    for (const role of ["nvme", "nvme2"] as const) {
      await memoryBit(`${PCI}/${this.context.devices[role].address}`, true);
    }
    for (const player of this.#parties.flatMap((party) => party.players)) {
      await this.#checkMapped(player);
    }
  }

  /** One of the old mappings, by DMA. */
  async #checkMapped(player: Player): Promise<void> {
    if (!this.#hasEngine(player)) return;
    const inUse = new Set(
      player.holdings.filter(({ revoked }) => !revoked).flatMap(({ iovas }) => iovas),
    );
    const mapped = player.holdings.filter(({ revoked, iovas }) =>
      revoked && iovas.some((iova) => !inUse.has(iova))
    );
    const holding = mapped[this.scenario.seed % Math.max(1, mapped.length)];
    const iova = holding?.iovas.findLast((iova) => !inUse.has(iova));
    if (holding !== undefined && iova !== undefined) await this.#checkGone(player, holding, iova);
  }

  async #checkGone(player: Player, holding: Holding, iova: number): Promise<void> {
    const spec = this.#specOf(holding);
    if (spec === undefined) return;
    const { address } = this.context.devices[spec.device];
    const mark = crypto.getRandomValues(new Uint8Array(CHUNK));
    // A device that is being opened or reset takes no mark: what tells is what the engine wrote.
    const byte = 1 + this.#transfers % (NOTHING - 1);
    await this.context.writeBar(address, BAR, spec.offset + SECOND_PAGE, mark);
    await player.ask(`engine-fill ${byte} ${CHUNK}`);
    await player.ask(`dma-write ${iova + SECOND_PAGE} ${CHUNK}`);
    this.#transfers++;
    const there = await this.context.readBar(address, BAR, spec.offset + SECOND_PAGE, CHUNK);
    this.#violations.unless(
      !there.every((each) => each === byte),
      () => `${holding.export} (${holding.grant}) has ended, and DMA lands`,
    );
  }

  /**
   * The engine reads the first page and writes what it read to the second one. A transfer that the
   * emulation lost is tried again: a mapping that was revoked never comes back.
   */
  async #lands(player: Player, spec: ExportSpec, iova: number): Promise<boolean> {
    const { address } = this.context.devices[spec.device];
    for (let tries = 0; tries < DMA_TRIES; tries++) {
      const pattern = crypto.getRandomValues(new Uint8Array(CHUNK));
      await this.context.writeBar(address, BAR, spec.offset, pattern);
      const answers = [
        await player.ask(`dma-read ${iova} ${CHUNK}`),
        await player.ask(`dma-write ${iova + SECOND_PAGE} ${CHUNK}`),
      ];
      this.#transfers += 2;
      const there = await this.context.readBar(address, BAR, spec.offset + SECOND_PAGE, CHUNK);
      if (equal(there, pattern)) return true;
      const exports = this.#parties.flatMap((party) => party.spec.exports);
      this.context.log(
        `seed ${this.scenario.seed}: the engine answered ${JSON.stringify(answers)}`,
      );
      await tellLostTransfer(this.context, player, spec, exports, pattern);
    }
    return false;
  }

  async #checkLeft(before: readonly string[]): Promise<void> {
    await this.kernel.idle();
    for (const role of ["nvme", "nvme2"] as const) {
      const { address } = this.context.devices[role];
      const enabled = (await Deno.readTextFile(`${PCI}/${address}/enable`)).trim();
      this.#violations.unless(enabled === "0", () => `${address} is open (enable: ${enabled})`);
    }
    let now = ownDescriptors();
    try {
      await until("the descriptors to be as before", 10_000, () => {
        now = ownDescriptors();
        return now.join() === before.join() || undefined;
      });
    } catch {
      this.#violations.add(`descriptors are left: ${difference(now, before)}`);
    }
  }

  // ── telling ─────────────────────────────────────────────────────────────────────────────────────

  #figures(): RoundFigures {
    const lives = this.#parties.flatMap(({ lived }) => lived);
    const grants = lives.flatMap(({ life }) => [...life.grants.keys()]);
    return {
      grants: grants.length,
      lives: lives.length,
      done: this.#deeds.filter(({ done }) => done).length,
      transfers: this.#transfers,
    };
  }

  /** All that is needed to understand what happened. */
  story(): string {
    const at = (time: number) => `${(time - this.#began).toFixed(0)} ms`;
    const lines = [
      ...this.#deeds.map((deed) => {
        const { kind, device, begunAt, doneAt, outcome } = deed;
        const end = doneAt === undefined ? "not over" : `over at ${at(doneAt)}, ${outcome}`;
        return { time: begunAt, text: `${kind} ${device}, ${end}` };
      }),
      ...this.#parties.flatMap((party) =>
        party.lived.flatMap(({ life }, index) =>
          life.told.map(({ event, at: time }) => {
            const { v: _v, seq: _seq, time: _time, policy: _policy, type, ...more } = event;
            return { time, text: `${party.spec.name}${index} ${type} ${JSON.stringify(more)}` };
          })
        )
      ),
    ].toSorted((a, b) => a.time - b.time).map(({ time, text }) => `${at(time)}: ${text}`);
    const lives = this.#parties.flatMap((party) =>
      party.lived.map(({ life }, index) =>
        `${party.spec.name}${index}: ${JSON.stringify(life.end ?? "goes on")}`
      )
    );
    return [
      ...this.#violations.found.map((each) => `WRONG: ${each}`),
      describe(this.scenario),
      ...lines,
      ...lives,
    ].join("\n");
  }
}

async function within<T>(
  work: Promise<T>,
  what: () => string,
  limitMs = PATIENCE_MS,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Waited ${limitMs} ms for ${what()}, in vain`)),
    limitMs,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function difference(now: readonly string[], before: readonly string[]): string {
  const left = [...before];
  const more = now.filter((each) => {
    const index = left.indexOf(each);
    if (index >= 0) left.splice(index, 1);
    return index < 0;
  });
  return JSON.stringify({ more, fewer: left });
}
