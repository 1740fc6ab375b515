/**
 * Asking all guardians of this account about one reset: who has the device, and whose grants it would
 * hit.
 *
 * @module
 */
import type { ControlReply, ControlRequest } from "../engine/control.ts";
import { RefusedError } from "../engine/errors.ts";
import type { Kernel } from "../engine/kernel.ts";
import {
  type GrantHit,
  outcomeOf,
  type ResetMethod,
  type ResetOutcome,
  type ResetReach,
} from "../engine/reset_outcome.ts";
import { askGuardian, type AskLimits, SilentError } from "./ask_guardian.ts";
import type { OperatorSocket } from "./operator_socket.ts";

/** How long a guardian may take for an answer that needs nothing of its devices, ms. */
const LOOK_MS = 5_000;
/** A question of that kind: each guardian answers it at once, unless it is stopped. */
const LOOK: ControlRequest = { type: "hit-by", functions: [] };

/** A reset that an operator asks for. */
export interface AskedReset {
  /** PCI address. */
  readonly device: string;
  readonly method: ResetMethod;
}

/** What became of the grants of all guardians. */
export interface DomainOutcome extends ResetOutcome {
  /** Guardians that did not say what became of theirs, and why. Each counts as one that `failed`. */
  readonly silent: readonly string[];
}

/** What is known before anything is done. */
export interface DomainRound {
  /** Socket of the guardian that has the device open. */
  readonly owner: string;
  /** All functions that are reset, the device included. */
  readonly functions: readonly string[];
  /** Grants of other devices that would be hit, of whichever guardian. */
  readonly hits: readonly GrantHit[];
  /** Guardians that did not say, and why. */
  readonly silent: readonly string[];
}

/**
 * Asks around, and does nothing.
 *
 * @param kernel the port
 * @param sockets of the account's guardians
 * @param asked the reset
 * @param lookMs how long each may take to say what would be hit, ms
 * @returns absent: nobody has the device open
 * @throws {RefusedError} if who has it cannot reset it so, or nobody says that he has it and not all
 *   have answered
 */
export async function askAround(
  kernel: Kernel,
  sockets: readonly OperatorSocket[],
  { device, method }: AskedReset,
  lookMs = LOOK_MS,
): Promise<DomainRound | undefined> {
  const found = await findOwner(kernel, sockets, { type: "reach", device, method }, lookMs);
  if (found === undefined) return undefined;
  const { path: owner, reach } = found;
  const functions = [device, ...reach.functions.map(({ address }) => address)];
  const rest = functions.length === 1 ? [] : sockets.filter(({ path }) => path !== owner);
  const told = await Promise.all(rest.map((socket) => hitsAt(kernel, socket, functions, lookMs)));
  return {
    owner,
    functions,
    hits: [...reach.hits, ...told.filter((each) => typeof each !== "string").flat()],
    silent: told.filter((each) => typeof each === "string"),
  };
}

/**
 * Asks all at once: one that cannot answer keeps nobody from finding the one that has the device. A
 * refusal counts only if nobody has it: who has borrowed the device refuses too.
 */
async function findOwner(
  kernel: Kernel,
  sockets: readonly OperatorSocket[],
  request: ControlRequest,
  lookMs: number,
): Promise<{ readonly path: string; readonly reach: ResetReach } | undefined> {
  const found = new AbortController();
  const owners: { readonly path: string; readonly reach: ResetReach }[] = [];
  const refusals: string[] = [];
  await Promise.all(sockets.map(async ({ path }) => {
    const reply = await replyOfLiving(kernel, path, request, lookMs, found.signal);
    if (reply === undefined) return;
    if (typeof reply === "string") refusals.push(reply);
    else if (reply.type === "reach") {
      owners.push({ path, reach: reply });
      found.abort();
    } else if (reply.type !== "absent") refusals.push(refusal(reply, path).message);
  }));
  if (owners.length === 0 && refusals.length > 0) throw new RefusedError(refusals.join("; "));
  return owners[0];
}

/**
 * Resets. Where grants of other devices may be hit, every other guardian first ends what the reset
 * ends of its own, whatever it said before: what was not told then, or was granted since, must not
 * outlive the reset.
 *
 * @param kernel the port
 * @param sockets of the account's guardians
 * @param asked the reset
 * @param round what {@linkcode askAround} found
 * @param domain whether grants of other devices may be hit
 * @param lookMs a guardian that answers nothing at all within this time is not waited for, ms
 * @returns what became of the grants of all of them; or the grants that would be hit, and must not
 * @throws {RefusedError} if the guardian that has the device refuses
 */
export async function resetDomain(
  kernel: Kernel,
  sockets: readonly OperatorSocket[],
  { device, method }: AskedReset,
  { owner, functions }: DomainRound,
  domain: boolean,
  lookMs = LOOK_MS,
): Promise<DomainOutcome | { readonly hits: readonly GrantHit[] }> {
  const others = domain && functions.length > 1 ? sockets.filter(({ path }) => path !== owner) : [];
  const told = await Promise.all(others.map((socket) => wayAt(kernel, socket, functions, lookMs)));
  const ways = told.filter((way) => typeof way !== "string");
  const silent = told.filter((way) => typeof way === "string");
  const request: ControlRequest = { type: "reset", device, method, domain };
  const reply = await replyOrWhy(kernel, owner, request);
  if (typeof reply !== "string") {
    if (reply?.type === "denied") return { hits: reply.hits };
    if (reply?.type === "done") return sumOf([reply, ...ways], silent);
  }
  const why = typeof reply === "string" ? reply : refusal(reply, owner).message;
  const begun = sumOf(ways, silent);
  if (begun.ended + begun.failed === 0) throw new RefusedError(why);
  throw new RefusedError(
    `${why}; for the reset other guardians have ended ${begun.ended} grants already, and ${begun.failed} ends could not be seen`,
  );
}

/** @returns what became of its grants; as text: why it does not say */
async function wayAt(
  kernel: Kernel,
  { path }: OperatorSocket,
  functions: readonly string[],
  lookMs: number,
): Promise<ResetOutcome | string> {
  const reply = await replyOfLiving(kernel, path, { type: "make-way", functions }, lookMs);
  if (typeof reply === "string") return reply;
  // It has gone meanwhile, and its grants with it.
  if (reply === undefined) return outcomeOf([]);
  return reply.type === "done" ? reply : refusal(reply, path).message;
}

/** The numbers are the guardians' own, for a list that was too long is left out. */
function sumOf(outcomes: readonly ResetOutcome[], silent: readonly string[]): DomainOutcome {
  const { devices } = outcomeOf(outcomes.flatMap((outcome) => outcome.devices));
  const sum = (name: "ended" | "failed" | "restored") =>
    outcomes.reduce((total, outcome) => total + outcome[name], 0);
  return {
    ended: sum("ended"),
    failed: sum("failed") + silent.length,
    restored: sum("restored"),
    devices,
    silent,
  };
}

/** @returns why it did not say, as text */
async function hitsAt(
  kernel: Kernel,
  { path }: OperatorSocket,
  functions: readonly string[],
  limitMs: number,
): Promise<readonly GrantHit[] | string> {
  const reply = await replyOrWhy(kernel, path, { type: "hit-by", functions }, { limitMs });
  if (typeof reply === "string") return reply;
  if (reply === undefined) return [];
  return reply.type === "hits" ? reply.hits : refusal(reply, path).message;
}

/**
 * Asks for what can take long, since it is done to devices. A guardian that is busy with them answers
 * other questions meanwhile; one that does not is stopped, and no longer waited for.
 */
async function replyOfLiving(
  kernel: Kernel,
  path: string,
  request: ControlRequest,
  lookMs: number,
  enough = new AbortController().signal,
): Promise<ControlReply | string | undefined> {
  const [stopped, answered] = [new AbortController(), new AbortController()];
  const look = async () => {
    const signal = AbortSignal.any([enough, answered.signal]);
    try {
      await askGuardian(kernel, path, LOOK, { limitMs: lookMs, signal });
    } catch (error) {
      if (error instanceof SilentError) stopped.abort(error);
      // Why it cannot be asked at all, the other answer says.
      else if (!(error instanceof RefusedError)) throw error;
    }
  };
  const ask = async () => {
    const signal = AbortSignal.any([enough, stopped.signal]);
    const reply = await replyOrWhy(kernel, path, request, { signal });
    answered.abort();
    return reply;
  };
  const [reply] = await Promise.all([ask(), look()]);
  return reply;
}

/** @returns the answer; as text: why there is none; absent: it has gone */
async function replyOrWhy(
  kernel: Kernel,
  path: string,
  request: ControlRequest,
  limits: AskLimits = {},
): Promise<ControlReply | string | undefined> {
  try {
    return await askGuardian(kernel, path, request, limits);
  } catch (error) {
    if (error instanceof RefusedError) return error.message;
    throw error;
  }
}

function refusal(reply: ControlReply | undefined, path: string): RefusedError {
  if (reply?.type === "refused") return new RefusedError(reply.message);
  const what = reply === undefined
    ? "it has gone"
    : reply.type === "absent"
    ? "it has closed the device, of which all grants have ended"
    : `its answer is "${reply.type}"`;
  return new RefusedError(`Cannot get an answer of ${path} that can be used: ${what}`);
}
