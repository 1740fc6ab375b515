/**
 * Wrong rules for the engine, one line of code each, by the invariant that they break: the runs with
 * faults must see them all.
 *
 * @module
 */
import type { WrongRule } from "./try_rules.ts";

/** The wrong rules. */
export const ENGINE_RULES: readonly WrongRule[] = [
  // ── 1: only what is allowed leaves, and only to whom it is allowed ──────────────────────────────
  {
    what: "a range is exported with a page too much",
    file: "engine/guard/device_grants.ts",
    text: `session.export(what, plan.bar, plan.ranges)`,
    instead:
      `session.export(what, plan.bar, plan.ranges.map((it) => ({ ...it, length: it.length + 4096n })))`,
  },
  {
    what: "another BAR is exported from",
    file: "engine/guard/device_grants.ts",
    text: `session.export(what, plan.bar, plan.ranges)`,
    instead: `session.export(what, 0, plan.ranges)`,
  },
  {
    what: "whatever device its node leads to is taken",
    file: "engine/session.ts",
    text: `if (told !== address) {`,
    instead: `if (false) {`,
  },
  {
    what: "a device with another id is taken",
    file: "engine/session.ts",
    text: `this.#checkConfig(config);`,
    instead: ``,
  },
  {
    what: "a device with another BAR is taken",
    file: "engine/session.ts",
    text: `await this.#checkBars(device);`,
    instead: ``,
  },
  {
    what: "of a borrowed device another one is taken",
    file: "engine/borrowed_session.ts",
    text: `await this.#checkIdentity();`,
    instead: ``,
  },
  {
    what: "each buffer is the first one",
    file: "engine/importer_link.ts",
    text: `given.map((held) => ({ name: fdNameOf(held), fd: held.dmaBuf }))`,
    instead: `given.map((held) => ({ name: fdNameOf(held), fd: given[0].dmaBuf }))`,
  },
  {
    what: "a buffer that Bargate maps is handed over",
    file: "engine/importer_link.ts",
    text: `grant.state === "exported" && grant.plan.importer.mapping === "importer"`,
    instead: `grant.state === "exported"`,
  },
  {
    what: "a program is started as whoever Bargate is",
    file: "engine/started_program.ts",
    text: `kernel.spawn({ path, argv, env, fds, account, ...output })`,
    instead: `kernel.spawn({ path, argv, env, fds, ...output })`,
  },
  {
    what: "whoever listens is the importer",
    file: "engine/peer_identity.ts",
    text: `if (wrong.length > 0) {`,
    instead: `if (false) {`,
  },
  {
    what: "who was the importer at hello is the importer",
    file: "engine/connected_peer.ts",
    text: `const found = await this.#check(kernel, connection.pidfd);`,
    instead: `const found = { pid: 1, uid: 1, executable: { path: "" } } as ProcessIdentity;`,
  },
  {
    what: "a mapping can always be written through",
    file: "engine/guard/importer_mappings.ts",
    text: `writeable: plan.rule.access === "read-write",`,
    instead: `writeable: true,`,
  },
  {
    what: "a mapping of another export is made than is asked for",
    file: "engine/importer_desk.ts",
    text: `(plan.export === name || bufferName(plan.export) === name);`,
    instead: `(plan.export !== name && bufferName(plan.export) !== name);`,
  },
  {
    what: "a grant is mapped whose end has begun",
    file: "engine/importer_desk.ts",
    text: `plan.importer.mapping === "bargate" && isActive(held) &&`,
    instead: `plan.importer.mapping === "bargate" &&`,
  },
  // ── 2: no protected page ────────────────────────────────────────────────────────────────────────
  {
    what: "MSI-X is where the plan has it",
    file: "engine/device_identity.ts",
    text: `rangesText(protectedRanges(seen.config, pageSize)),`,
    instead: `rangesText(target.protectedRanges),`,
  },
  // ── 3: one end, seen, and nothing is left ───────────────────────────────────────────────────────
  {
    what: "an export that fails has no end",
    file: "engine/guard/device_grants.ts",
    text: `record.grant("ended", grant, { reason: reasonOfFailure(error), cause });`,
    instead: ``,
  },
  {
    what: "an end is told twice",
    file: "engine/guard/device_grants.ts",
    text: `record.grant("ended", held.grant, { reason, means, after: "dead" });`,
    instead:
      `for (const _ of "12") record.grant("ended", held.grant, { reason, means, after: "dead" });`,
  },
  {
    what: "an end has no reason",
    file: "engine/guard/device_grants.ts",
    text: `record.grant("ended", held.grant, { reason, means, after: "dead" });`,
    instead: `record.grant("ended", held.grant, { means, after: "dead" });`,
  },
  {
    what: "an end is taken for seen while others have the buffer",
    file: "engine/guard/grant_ends.ts",
    text: `if (references === 1) {`,
    instead: `if (references !== undefined) {`,
  },
  {
    what: "an end is taken for seen while the buffer can be imported",
    file: "engine/guard/grant_ends.ts",
    text: `const dead = liveness === "revoked" || liveness === "unknown";`,
    instead: `const dead = true;`,
  },
  {
    what: "an end is taken for seen before the generation is over",
    file: "engine/guard/grant_ends.ts",
    text: `return means === "hold" ? this.device.session.held !== undefined : this.outlived(held);`,
    instead: `return true;`,
  },
  {
    what: "an end that cannot be seen is not told",
    file: "engine/guard/device_grants.ts",
    text: `    record.trouble(cause);
    held.grant.fail();`,
    instead: `    held.grant.fail();`,
  },
  {
    what: "the buffer of a grant that has ended is kept",
    file: "engine/guard/device_grants.ts",
    text: `    await this.mappings.unmap(held);
    await this.closeBuffer(held);`,
    instead: `    await this.mappings.unmap(held);`,
  },
  {
    what: "the copy of an importer's iommufd is kept",
    file: "engine/guard/importer_mappings.ts",
    text: `      await this.closeCopy(mapping.iommufd);
    }`,
    instead: `    }`,
  },
  {
    what: "a grant does not expire",
    file: "engine/guard/device_grants.ts",
    text: `() => this.expire(held),`,
    instead: `() => {},`,
  },
  {
    what: "the release of one ends another",
    file: "engine/importer_desk.ts",
    text: `this.context.standing().find(({ grant }) => grant.id === id);`,
    instead: `this.context.standing().findLast(({ grant }) => grant.id !== "");`,
  },
  {
    what: "what is revoked is restored",
    file: "engine/guard/restores.ts",
    text: `if (liveness === "revoked" || liveness === undefined) {`,
    instead: `if (false) {`,
  },
  // ── 4: copies are given back first, and one stuck device delays no other ────────────────────────
  {
    what: "a copy of an owner's descriptor is kept",
    file: "engine/borrowed_session.ts",
    text: `      await giveBack();
    } catch (error) {
      const refusal`,
    instead: `    } catch (error) {
      const refusal`,
  },
  {
    what: "one device ends after the other",
    file: "engine/guarded_devices.ts",
    text: `await Promise.allSettled(this.all.map(work))`,
    instead: `await this.all.reduce(
      async (before, guard) => [...await before, ...await Promise.allSettled([work(guard)])],
      Promise.resolve([]),
    )`,
  },
  {
    what: "a call that takes too long is not told",
    file: "engine/guard_context.ts",
    text: `    const callOff = clock.after(limitMs, () => {
      this.trouble({`,
    instead: `    const callOff = clock.after(limitMs, () => {
      false && this.trouble({`,
  },
  // ── 5: resets ───────────────────────────────────────────────────────────────────────────────────
  {
    what: "a reset ends nothing",
    file: "engine/guard/operator_resets.ts",
    text: `hit.victims.length > 0`,
    instead: `hit.victims.length > 99`,
  },
  {
    what: "a reset does not wait for an end that has begun",
    file: "engine/guard/operator_resets.ts",
    text: `this.grants.standing.filter(endsByReset)`,
    instead: `active.filter(endsByReset)`,
  },
  {
    what: "a reset ends what it restores",
    file: "engine/guard/operator_resets.ts",
    text: `for (const held of suspended) await this.restores.restore(held);`,
    instead: ``,
  },
  {
    what: "a reset of a bus hits one device",
    file: "engine/domain_reset.ts",
    text: `if (this.method === "decode") return [];`,
    instead: `return [];`,
  },
  {
    what: "a reset of a physical function hits no virtual one",
    file: "engine/domain_reset.ts",
    text: `return below && physfn !== undefined ? { guard, through: physfn } : [];`,
    instead: `return [];`,
  },
  {
    what: "a reset by others ends nothing",
    file: "engine/guard/observed_resets.ts",
    text: `return this.end("device-reset", cause);`,
    instead: `return Promise.resolve();`,
  },
  {
    what: "a reset by others ends what is restored",
    file: "engine/guard/observed_resets.ts",
    text: `this.grants.all.filter(({ grant }) => grant.plan.rule.onReset === "revoke");`,
    instead: `this.grants.all;`,
  },
  {
    what: "a reset by an owner ends nothing",
    file: "engine/guard/observed_resets.ts",
    text: `const ends = this.end("device-reset", revokedBy);`,
    instead: `const ends = Promise.resolve();`,
  },
  {
    what: "memory decode that others switch off ends nothing",
    file: "engine/guard/observed_resets.ts",
    text: `await this.end("decode-off", cause);`,
    instead: ``,
  },
  {
    what: "nothing is made way for",
    file: "engine/guard/observed_resets.ts",
    text: `await this.end("device-reset", cause, MAKE_WAY_GRACE_MS);`,
    instead: ``,
  },
  {
    what: "a reset of a bridge is one of the first device below it",
    file: "engine/observers/sysfs_files.ts",
    text: `devices: all.map(({ device }) => device)`,
    instead: `devices: all.slice(0, 1).map(({ device }) => device)`,
  },
  {
    what: "lost events were none",
    file: "engine/observers/sysfs_files.ts",
    text: `if (events.includes("overrun")) this.#tellOverrun();`,
    instead: ``,
  },
  {
    what: "who opens reset waits for nothing",
    file: "engine/observers/reset_gate.ts",
    text: `beforeReset(devices, cause).catch(failed).finally(() => this.#pass(gate, waiting));`,
    instead: `this.#pass(gate, waiting);
    beforeReset(devices, cause).catch(failed);`,
  },
  {
    what: "who opens reset is let through by the limit only",
    file: "engine/observers/reset_gate.ts",
    text: `beforeReset(devices, cause).catch(failed).finally(() => this.#pass(gate, waiting));`,
    instead: `beforeReset(devices, cause).catch(failed);`,
  },
  {
    what: "a failure of the device ends nothing",
    file: "engine/observation_desk.ts",
    text: `return await guard.endAll("device-error", cause, "immediate");`,
    instead: `return;`,
  },
  {
    what: "a removal ends nothing",
    file: "engine/observation_desk.ts",
    text: `return await guard.endAll("device-removed", cause, "immediate");`,
    instead: `return;`,
  },
  // ── 6: one policy, whole ────────────────────────────────────────────────────────────────────────
  {
    what: "events name no policy",
    file: "engine/event.ts",
    text: `policy: this.policy, ...facts`,
    instead: `policy: "", ...facts`,
  },
  {
    what: "what can be exported is exported without the rest",
    file: "engine/guardian.ts",
    text: `await this.#opening.soon(what, guard.export(grant));`,
    instead: `await this.#opening.soon(what, guard.export(grant)).catch(() => {});`,
  },
  // ── 7: nobody speaks for another ────────────────────────────────────────────────────────────────
  {
    what: "any packet on the channel counts",
    file: "engine/packet_sender.ts",
    text: `if (known) return undefined;`,
    instead: `return undefined;`,
  },
  {
    what: "anybody is an operator",
    file: "engine/control.ts",
    text: `if (peer.uid !== ROOT && peer.uid !== this.kernel.uid) {`,
    instead: `if (false) {`,
  },
  // ── 8: nobody else gets at a device ─────────────────────────────────────────────────────────────
  {
    what: "a guardian can be looked into",
    file: "engine/guardian.ts",
    text: `await ready("make this process non-dumpable", () => kernel.makeNonDumpable());`,
    instead: ``,
  },
  {
    what: "who asks devices can be looked into",
    file: "engine/preflight/live.ts",
    text: `await ready("make this process non-dumpable", () => context.kernel.makeNonDumpable());`,
    instead: ``,
  },
  {
    what: "who asks a controller can be looked into",
    file: "engine/probe_controller.ts",
    text: `kernel.makeNonDumpable();`,
    instead: ``,
  },
  {
    what: "a device is left open",
    file: "engine/device_guard.ts",
    text: `() => this.session.dispose(),`,
    instead: `() => Promise.resolve(),`,
  },
];
