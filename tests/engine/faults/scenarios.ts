/**
 * Every operation of the engine, as short stories to be run with faults.
 *
 * @module
 */
import type { GrantSpec } from "../support.ts";
import { borrowed, send } from "./meetings.ts";
import { OBSERVED } from "./observed_scenarios.ts";
import { OTHERS } from "./other_scenarios.ts";
import {
  BESIDE,
  DOMAIN,
  expire,
  request,
  reset,
  say,
  type Scenario,
  scene,
  shutDown,
  story,
  unbind,
} from "./story.ts";

const VIRTUAL: GrantSpec = { virtual: true };
const EXPIRING: GrantSpec = { expiresMs: 1_000, graceMs: 50 };
const TWO: readonly GrantSpec[] = [{ graceMs: 50 }, { name: "stays", graceMs: 50 }];

/** All of them. */
export const SCENARIOS: readonly Scenario[] = [
  story("exec", scene([{}])),
  send,
  story("mapping: bargate", scene([{ mapping: "bargate" }]), request),
  story(
    "mapping: bargate, restore",
    scene([{ mapping: "bargate", onReset: "restore" }]),
    async (it) => {
      await request(it);
      await reset("function")(it);
    },
  ),
  story(
    "mapping: bargate, of two",
    scene([{ mapping: "bargate" }, { name: "other", mapping: "bargate" }]),
    request,
  ),
  story("release", scene([{ graceMs: 50 }]), (it) => say(it, "release")),
  story("expiry", scene([EXPIRING]), expire),
  story("expiry of a mapping", scene([{ ...EXPIRING, mapping: "bargate" }]), async (it) => {
    await request(it);
    await expire(it);
  }),
  story("function reset, revoke", scene([{}]), reset("function")),
  story("function reset, restore", scene([{ onReset: "restore" }]), reset("function")),
  story(
    "function reset, both",
    scene([{}, { name: "stays", onReset: "restore" }]),
    reset("function"),
  ),
  story("decode off, revoke", scene([{}]), reset("decode")),
  story("decode off, restore", scene([{ onReset: "restore" }]), reset("decode")),
  story(
    "bus reset over a domain",
    scene([{}, { name: "beside", address: BESIDE }], [DOMAIN, DOMAIN]),
    reset("bus"),
  ),
  story(
    "bus reset over a domain, restore",
    scene([{}, { name: "beside", address: BESIDE, onReset: "restore" }], [DOMAIN, DOMAIN]),
    reset("bus"),
  ),
  story("renewal", scene(TWO), (it) => say(it, "release")),
  story(
    "renewal of a mapping",
    scene([{ name: "ends", graceMs: 50 }, { mapping: "bargate" }]),
    async (it) => {
      await request(it);
      await say(it, "release");
    },
  ),
  story("borrowed", borrowed()),
  story("borrowed, expiry", borrowed({ expiresMs: 1_000 }), expire),
  story("borrowed, the owner ends", borrowed(), async (it) => {
    it.onOwnerEnd?.();
    it.onOwnerEnd = undefined;
    await expire(it);
  }),
  story("lent", borrowed({}, true)),
  story("group route", scene([{}], [{ group: 1 }], "group"), reset("function")),
  story(
    "group route, bus reset",
    scene([{}, { name: "beside", address: BESIDE }], [DOMAIN, DOMAIN], "group"),
    reset("bus"),
  ),
  story("shutdown", scene([{ graceMs: 50 }]), shutDown),
  story("importer's end", scene([{}]), (it) => Promise.resolve(it.exit())),
  story("unbind", scene([{}]), unbind),
  story("virtual function, reset", scene([VIRTUAL]), reset("function")),
  story("virtual function, expiry", scene([{ ...VIRTUAL, ...EXPIRING }]), expire),
  story(
    "virtual function, renewal by reset",
    scene([{ ...VIRTUAL, holds: [] }, {
      ...VIRTUAL,
      holds: [],
      name: "stays",
      onReset: "restore",
    }]),
    reset("function"),
  ),
  ...OBSERVED,
  ...OTHERS,
];
