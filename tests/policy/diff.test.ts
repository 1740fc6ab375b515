import assert from "node:assert/strict";
import fc from "fast-check";
import { diffPolicies, diffTerms } from "../../policy/diff.ts";
import { diffDenies } from "../../policy/diff_denies.ts";
import { changedNames } from "../../policy/diff_names.ts";
import { type Interval, normalized, subtract } from "../../policy/interval.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { DeviceMatch, PolicySet } from "../../policy/model.ts";
import {
  allowedOn,
  type AnyFunction,
  anySet,
  everyByte,
  functionsOf,
  isOne,
  sameMatch,
} from "./random_sets.ts";
import { runs } from "../support/runs.ts";

/** Two sets that are often nearly the same: the second has a rule less, or a deny more or less. */
const anyPair = fc.oneof(
  fc.tuple(anySet, anySet),
  anySet.chain((set) => fc.tuple(fc.constant(set), fc.nat(4), fc.boolean())).map(
    ([set, at, deny]): [PolicySet, PolicySet] => [set, {
      ...set,
      policies: set.policies.map((policy) => ({
        ...policy,
        exports: deny ? policy.exports : policy.exports.toSpliced(at, 1),
        deny: deny ? policy.deny.toSpliced(at, 1) : policy.deny,
      })),
    }],
  ),
);

/** Of the functions of a device, one for each way in which the denies of both sets fall on them. */
function toldApart(sets: readonly PolicySet[], match: DeviceMatch): readonly AnyFunction[] {
  const matches = sets.flatMap(({ policies }) =>
    policies.flatMap(({ deny, devices }) =>
      deny.flatMap(({ device }) => devices.get(device.value)?.match ?? [])
    )
  );
  const kinds = new Map(
    functionsOf(match).map((one) => [matches.map((each) => isOne(one, each)).join(), one]),
  );
  return [...kinds.values()];
}

Deno.test("diffPolicies() is empty exactly when no request on any host tells the two apart, and names each byte", () => {
  fc.assert(
    fc.property(anyPair, ([before, after]) => {
      const told = new Set<string>();
      for (const { importer, device, bar, level, bytes, kind } of diffPolicies(before, after)) {
        const more = kind === "gained" || kind === "widened";
        for (const { start, end } of bytes) {
          for (let byte = start; byte < end && byte < 40n; byte++) {
            told.add(`${importer} ${device} ${bar} ${level} ${byte} ${more}`);
          }
        }
      }
      const seen = new Set<string>();
      const known = new Map<DeviceMatch, readonly AnyFunction[]>();
      const kindsOf = (match: DeviceMatch) => {
        const found = known.get(match) ?? toldApart([before, after], match);
        known.set(match, found);
        return found;
      };
      for (const request of everyByte()) {
        const { policy, importer, device, bar, access, offset } = request;
        const [old, now] = [before, after].map((set) => matchOf(set, policy, device));
        const stands = sameDevice(before, after, policy, device);
        const level = access === "read-only" ? "read" : "write";
        const note = (more: boolean) =>
          seen.add(`${policy}/${importer} ${policy}/${device} ${bar} ${level} ${offset} ${more}`);
        const allows = (set: PolicySet, one: AnyFunction) => allowedOn(set, one, request);
        const [olds, nows] = [old, now].map((match) => match === undefined ? [] : kindsOf(match));
        for (const one of olds ?? []) {
          if (allows(before, one) && !(stands && allows(after, one))) note(false);
        }
        for (const one of nows ?? []) {
          if (allows(after, one) && !(stands && allows(before, one))) note(true);
        }
      }
      assert.deepEqual([...told].sort(), [...seen].sort());
    }),
    { numRuns: runs(150) },
  );
});

function matchOf(set: PolicySet, policy: string, device: string): DeviceMatch | undefined {
  return set.policies.find(({ name }) => name === policy)?.devices.get(device)?.match;
}

/** Whether a name stands for the same device in both. */
function sameDevice(a: PolicySet, b: PolicySet, policy: string, device: string): boolean {
  const [old, now] = [a, b].map(({ policies }) =>
    policies.find(({ name }) => name === policy)?.devices.get(device)
  );
  return old !== undefined && now !== undefined && old.many === now.many &&
    sameMatch(old.match, now.match);
}

const POLICY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: p }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers: { engine: { identity: { user: nobody }, driver: iommufd } }
exports:
  - { name: a, device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [engine] }
`;

function kinds(before: string, after: string): readonly string[] {
  const [old, now] = [before, after].map((text) => {
    const { set } = loadPolicySet([{ file: "p.yaml", text }]);
    assert.ok(set !== undefined);
    return set;
  });
  assert.ok(old !== undefined && now !== undefined);
  return diffPolicies(old, now).map(({ kind, level }) => `${kind} ${level}`);
}

Deno.test("diffPolicies() sees that a name stands for somebody else", () => {
  const both = ["gained read", "gained write", "lost read", "lost write"];
  assert.deepEqual(kinds(POLICY, POLICY.replace("user: nobody", "user: root")).toSorted(), both);
  assert.deepEqual(kinds(POLICY, POLICY.replace("1b36:0010", "1b36:0011")).toSorted(), both);
});

Deno.test("diffPolicies() takes a device for another when it is one of many, or chosen otherwise", () => {
  const both = ["gained read", "gained write", "lost read", "lost write"];
  const changes = [
    [`} } }\nimp`, `}, many: true } }\nimp`],
    [`"1b36:0010" }`, `"1b36:0010", serial: "00-1b-21-ff-ff-a0-12-34" }`],
    [`"1b36:0010" }`, `"1b36:0010", numaNode: 0 }`],
  ] as const;
  for (const [from, to] of changes) {
    assert.ok(POLICY.includes(from));
    assert.deepEqual(kinds(POLICY, POLICY.replace(from, to)).toSorted(), both, to);
  }
  const labelled = POLICY.replace(`} } }\nimp`, `}, labels: { rack: b12 } } }\nimp`);
  assert.deepEqual(kinds(POLICY, labelled), []);
});

Deno.test("diffPolicies() takes an importer for another when its DMA is done elsewhere", () => {
  const both = ["gained read", "gained write", "lost read", "lost write"];
  const here = POLICY.replace("iommufd }", "iommufd, device: { nvme: nvme0 } }");
  const there = here.replace("nvme0", "nvme1");
  assert.deepEqual(kinds(POLICY, here).toSorted(), both);
  assert.deepEqual(kinds(here, there).toSorted(), both);
  assert.deepEqual(kinds(here, here), []);
});

const BORROWED = POLICY.replace(
  `"1b36:0010" } }`,
  `"1b36:0010" }, acquire: borrow, owner: { unit: spdk.service } }`,
).replace("[engine] }", "[engine], revocation: cooperative }");

Deno.test("diffPolicies() takes a device for another when it is borrowed from somebody else", () => {
  const both = ["gained read", "gained write", "lost read", "lost write"];
  const changes = [
    "{ unit: evil.service }",
    "{ unit: spdk.service, user: spdk }",
    "{ unit: spdk.service, executable: /usr/bin/spdk_tgt }",
    "{ unit: spdk.service, pidFile: /run/spdk.pid }",
    "{ unit: spdk.service, socket: /run/spdk.sock }",
  ];
  for (const owner of changes) {
    const other = BORROWED.replace("{ unit: spdk.service }", owner);
    assert.deepEqual(kinds(BORROWED, other).toSorted(), both, owner);
  }
  assert.deepEqual(kinds(BORROWED, BORROWED), []);
});

function terms(before: string, after: string): readonly string[] {
  const [old, now] = [before, after].map((text) => {
    const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
    assert.ok(set !== undefined, JSON.stringify(diagnostics));
    return set;
  });
  assert.ok(old !== undefined && now !== undefined);
  return diffTerms(old, now).map((each) =>
    `${each.kind} ${each.term} ${each.old} ${each.new} ${
      each.bytes.map(({ start, end }) => `${start}-${end}`).join()
    }${each.level === undefined ? "" : ` to ${each.level}`}`
  );
}

Deno.test("diffTerms() tells how long bytes are held, and how they are taken back", () => {
  const withTerm = (term: string) => POLICY.replace("[engine] }", `[engine], ${term} }`);
  const cases = [
    ["expires: 1h", "narrowed", "widened", "expires never 1h", "expires 1h never"],
    ["grace: 9s", "widened", "narrowed", "grace 2s 9s", "grace 9s 2s"],
    ["onReset: restore", "widened", "narrowed", "onReset revoke restore", "onReset restore revoke"],
    [
      "collateral: device",
      "changed",
      "changed",
      "collateral none device",
      "collateral device none",
    ],
  ] as const;
  for (const [term, there, back, forth, home] of cases) {
    assert.deepEqual(kinds(POLICY, withTerm(term)), [], "the bytes are the same");
    assert.deepEqual(terms(POLICY, withTerm(term)), [`${there} ${forth} 0-8192`]);
    assert.deepEqual(terms(withTerm(term), POLICY), [`${back} ${home} 0-8192`]);
    assert.deepEqual(terms(withTerm(term), withTerm(term)), []);
  }
});

Deno.test("diffTerms() is about the bytes that both allow, and the loosest rule counts", () => {
  const half = POLICY.replace("8KiB }]", "4KiB }], onReset: restore");
  assert.deepEqual(terms(POLICY, half), ["widened onReset revoke restore 0-4096"]);
  const rules = (first: string, second: string) =>
    POLICY.replace(/ {2}- .*\n/, "") +
    [first, second].map((term, at) =>
      `  - { name: r${at}, device: ssd, bar: 2, slices: [{ offset: ${
        at * 4096
      }, length: 8KiB }], importers: [engine], shared: true, collateral: device, ${term} }\n`
    ).join("");
  const [short, long] = [rules("expires: 1h", "expires: 1h"), rules("expires: 1h", "expires: 2h")];
  assert.deepEqual(terms(short, long), ["widened expires 1h 2h 4096-12288"]);
});

/** A rule of whole pages. */
interface AnyRule {
  readonly offset: number;
  readonly length: number;
  /** 0: for ever. */
  readonly hours: number;
  readonly grace: number;
  readonly restore: boolean;
  readonly write: boolean;
  readonly table: boolean;
}

const anyRules: fc.Arbitrary<readonly AnyRule[]> = fc.array(
  fc.record({
    offset: fc.nat(3),
    length: fc.integer({ min: 1, max: 3 }),
    hours: fc.nat(2),
    grace: fc.integer({ min: 1, max: 2 }),
    restore: fc.boolean(),
    write: fc.boolean(),
    table: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);
const PAGES = [0, 1, 2, 3, 4, 5];

function setOf(rules: readonly AnyRule[]): PolicySet {
  const head = POLICY.replace(/ {2}- .*\n/, "").replace("iommufd }", "iommufd, mapping: bargate }");
  const lines = rules.map(({ offset, length, hours, grace, restore, write, table }, at) =>
    [
      `  - { name: r${at}, device: ssd, bar: 2, importers: [engine], shared: true, collateral: device`,
      `slices: [{ offset: ${offset * 4}KiB, length: ${length * 4}KiB }], grace: ${grace}s`,
      `onReset: ${restore ? "restore" : "revoke"}, access: ${write ? "read-write" : "read-only"}`,
      ...(hours === 0 ? [] : [`expires: ${hours}h`]),
      ...(table ? ["allowProtected: [{ range: msix-table, reason: x }]"] : []),
    ].join(", ") + " }\n"
  );
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text: head + lines.join("") }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return set;
}

function onPage(rules: readonly AnyRule[], page: number): readonly AnyRule[] {
  return rules.filter(({ offset, length }) => offset <= page && page < offset + length);
}

/** What can be asked of a page: to write or not, as a page of the table or not. */
const ASKED = [false, true].flatMap((write) => [false, true].map((table) => ({ write, table })));

/** Whether somebody could be given more on a page: more rights, or the same on looser terms. */
function isMore(old: readonly AnyRule[], now: readonly AnyRule[], page: number) {
  const answers = ASKED.map((asked) => {
    const fits = ({ write, table }: AnyRule) => (write || !asked.write) && (table || !asked.table);
    const [had, has] = [old, now].map((rules) => onPage(rules, page).filter(fits));
    if (had === undefined || has === undefined) throw new Error("there are two");
    const life = ({ hours }: AnyRule) => hours === 0 ? 9 : hours;
    const isAsLoose = (a: AnyRule, b: AnyRule) =>
      life(a) >= life(b) && a.grace >= b.grace && (a.restore || !b.restore);
    return {
      rights: has.length > 0 && had.length === 0,
      terms: had.length > 0 && has.some((b) => !had.some((a) => isAsLoose(a, b))),
    };
  });
  return {
    rights: answers.some(({ rights }) => rights),
    terms: answers.some(({ terms }) => terms),
  };
}

function pagesOf(
  differences: readonly { kind: string; bytes: readonly { start: bigint; end: bigint }[] }[],
  kinds: readonly string[],
): readonly number[] {
  const bytes = differences.filter(({ kind }) => kinds.includes(kind)).flatMap(({ bytes }) =>
    bytes
  );
  return PAGES.filter((page) =>
    bytes.some(({ start, end }) => start <= BigInt(page * 4096) && BigInt(page * 4096) < end)
  );
}

Deno.test("diffPolicies() and diffTerms() agree with asking for each byte what it can be had for at once", () => {
  fc.assert(
    fc.property(anyRules, anyRules, (before, after) => {
      const [old, now] = [setOf(before), setOf(after)];
      const [rights, terms] = [diffPolicies(old, now), diffTerms(old, now)];
      const pages = (of: "rights" | "terms", a: readonly AnyRule[], b: readonly AnyRule[]) =>
        PAGES.filter((page) => isMore(a, b, page)[of]);
      assert.deepEqual(pagesOf(rights, ["gained", "widened"]), pages("rights", before, after));
      assert.deepEqual(pagesOf(rights, ["lost", "narrowed"]), pages("rights", after, before));
      assert.deepEqual(pagesOf(terms, ["widened"]), pages("terms", before, after));
      assert.deepEqual(pagesOf(terms, ["narrowed"]), pages("terms", after, before));
    }),
    { numRuns: runs(300) },
  );
});

/** Terms of rules as ranks, with the words in which they are told. */
const ASKED_TERMS = {
  expires: ({ hours }: AnyRule) =>
    hours === 0 ? [Infinity, "never"] as const : [hours, `${hours}h`] as const,
  grace: ({ grace }: AnyRule) => [grace, `${grace}s`] as const,
  onReset: ({ restore }: AnyRule) => restore ? [1, "restore"] as const : [0, "revoke"] as const,
};
const RANKS = Object.values(ASKED_TERMS).map((term) => (rule: AnyRule) => term(rule)[0]);

/** What two sets of rules say differently of a page for one question, as {@linkcode diffTerms} tells it. */
function sayings(old: readonly AnyRule[], now: readonly AnyRule[]): readonly string[] {
  if (old.length === 0 || now.length === 0) return [];
  const loosest = (rules: readonly AnyRule[], term: (rule: AnyRule) => readonly [number, string]) =>
    rules.map(term).reduce((a, b) => b[0] > a[0] ? b : a);
  const single = Object.entries(ASKED_TERMS).flatMap(([name, term]) => {
    const [[was, said], [is, says]] = [loosest(old, term), loosest(now, term)];
    return was === is ? [] : [`${is > was ? "widened" : "narrowed"} ${name} ${said} ${says}`];
  });
  return [
    ...single,
    ...(isAtOnce(old, now) ? ["widened combination"] : []),
    ...(isAtOnce(now, old) ? ["narrowed combination"] : []),
  ];
}

/** Whether one rule gives at once what others gave one by one, whatever it gives beyond all of them. */
function isAtOnce(old: readonly AnyRule[], now: readonly AnyRule[]): boolean {
  const most = RANKS.map((rank) => Math.max(...old.map(rank)));
  return now.some((rule) => {
    const wanted = RANKS.map((rank, at) => Math.min(rank(rule), most[at] ?? 0));
    return !old.some((other) => RANKS.every((rank, at) => rank(other) >= (wanted[at] ?? 0)));
  });
}

Deno.test("diffTerms() tells of each byte at each level which term it has instead of which", () => {
  const levelOf = ({ write, table }: typeof ASKED[number]) =>
    [write ? "write" : [], table ? "msix-table" : []].flat().join("+") || "read";
  const isPart = (part: string, level: string) =>
    part === "read" || part.split("+").every((right) => level.split("+").includes(right));
  fc.assert(
    fc.property(anyRules, anyRules, (before, after) => {
      const told = diffTerms(setOf(before), setOf(after)).map((change) => {
        const { kind, term, level = "read", bytes } = change;
        const values = term === "combination" ? "" : ` ${change.old} ${change.new}`;
        return {
          level,
          saying: `${kind} ${term}${values}`,
          pages: pagesOf([{ kind, bytes }], [kind]),
        };
      });
      for (const page of PAGES) {
        const here = told.filter(({ pages }) => pages.includes(page));
        for (const asked of ASKED) {
          const level = levelOf(asked);
          const [old, now] = [before, after].map((rules) =>
            onPage(rules, page).filter(({ write, table }) =>
              (write || !asked.write) && (table || !asked.table)
            )
          );
          const wanted = new Set(sayings(old ?? [], now ?? []));
          const own = here.filter((each) => each.level === level).map(({ saying }) => saying);
          assert.deepEqual(own.filter((saying) => !wanted.has(saying)), [], "is so");
          const less = here.filter((each) => isPart(each.level, level)).map(({ saying }) => saying);
          assert.deepEqual([...wanted].filter((saying) => !less.includes(saying)), [], "is told");
        }
      }
    }),
    { numRuns: runs(300) },
  );
});

Deno.test("diffTerms() tells what is held longer with a right, and what was said by two rules before", () => {
  const rule = (name: string, terms: string) =>
    `  - { name: ${name}, device: ssd, bar: 2, slices: [{ offset: 0, length: 4KiB }], importers: [engine], shared: true, collateral: device, ${terms} }\n`;
  const policy = (...rules: readonly string[]) =>
    POLICY.replace(/ {2}- .*\n/, "").replace("iommufd }", "iommufd, mapping: bargate }") +
    rules.map((terms, at) => rule(`r${at}`, terms)).join("");
  assert.deepEqual(
    terms(policy("access: read-only", "expires: 1h"), policy("access: read-only", "grace: 2s")),
    ["widened expires 1h never 0-4096 to write"],
  );
  assert.deepEqual(
    terms(
      policy("expires: 1h, onReset: restore", "onReset: revoke"),
      policy("onReset: restore", "expires: 1h"),
    ),
    [
      "widened combination (expires 1h, onReset restore) or (expires never, onReset revoke) (expires never, onReset restore) 0-4096",
    ],
  );
  assert.deepEqual(
    terms(
      policy("access: read-only, expires: 23h", "access: read-write, expires: 1s"),
      policy("access: read-only, expires: 24h", "access: read-write, expires: 23h"),
    ),
    [
      "widened expires 23h 1d 0-4096",
      "widened expires 1s 23h 0-4096 to write",
    ],
  );
  assert.deepEqual(
    terms(
      policy("expires: 1h, onReset: restore, grace: 1s", "onReset: revoke, grace: 1s"),
      policy("onReset: restore, grace: 1001ms"),
    ),
    [
      "widened grace 1s 1001ms 0-4096",
      "widened combination (expires 1h, grace 1s, onReset restore) or (expires never, grace 1s, onReset revoke) (expires never, grace 1001ms, onReset restore) 0-4096",
    ],
  );
  const table = "allowProtected: [{ range: msix-table, reason: x }]";
  assert.deepEqual(
    kinds(
      policy("access: read-write", `access: read-only, ${table}`),
      policy(`access: read-write, ${table}`),
    ),
    ["widened write+msix-table"],
  );
});

Deno.test("what changes the digest is told, but for names, layout and words", () => {
  const cmb = POLICY.replace("slices: [{ offset: 0, length: 8KiB }]", "region: nvme.cmb");
  const enabled = cmb.replace(`"1b36:0010" } }`, `"1b36:0010" }, enableCmb: true }`);
  assert.match(terms(cmb, enabled).join(), /^widened enableCmb false true /);
});

Deno.test("diffPolicies() tells a region of which only the host knows where it is", () => {
  const cmb = POLICY.replace("slices: [{ offset: 0, length: 8KiB }]", "region: nvme.cmb");
  const [both, one] = [["gained", "lost"], (kind: string) => [`${kind} read`, `${kind} write`]];
  assert.deepEqual(kinds(POLICY, cmb).toSorted(), both.flatMap(one), "in place of the slices");
  assert.deepEqual(kinds(cmb, cmb), []);
  const nothing = cmb.replace(/ {2}- .*\n/, "").replace("exports:", "exports: []");
  assert.deepEqual(kinds(nothing, cmb), one("gained"));
  assert.deepEqual(kinds(cmb, `${nothing}deny: [{ device: ssd, bar: 2, reason: x }]`), one("lost"));
  const bells = POLICY.replace(
    "bar: 2, slices: [{ offset: 0, length: 8KiB }]",
    "region: nvme.doorbells",
  );
  const page = POLICY.replace("bar: 2", "bar: 0").replace(
    "offset: 0, length: 8KiB",
    "offset: 4KiB, length: 4KiB",
  );
  assert.deepEqual(kinds(bells, page), [], "which are bytes like others");
});

Deno.test("diffPolicies() does not see spelling, order and splitting", () => {
  const split = POLICY.replace(
    "[{ offset: 0, length: 8KiB }]",
    "[{ offset: 0, length: 4096 }, { offset: 0x1000, length: 4KiB }]",
  );
  assert.deepEqual(kinds(POLICY, split), []);
});

Deno.test("diffPolicies() sees protected pages and denies", () => {
  const protectedPage = POLICY.replace(
    "[engine] }",
    "[engine], allowProtected: [{ range: msix-table, reason: lab }] }",
  );
  assert.deepEqual(kinds(POLICY, protectedPage), ["widened msix-table"]);
  assert.deepEqual(kinds(POLICY, POLICY.replace("8KiB", "4KiB")), [
    "narrowed read",
    "narrowed write",
  ]);
});

const anyIntervals = fc.array(
  fc.tuple(fc.bigInt(0n, 30n), fc.bigInt(0n, 6n)).map(([start, length]) => ({
    start,
    end: start + length,
  })),
  { maxLength: 8 },
);

Deno.test("normalized() and subtract() agree with sets of numbers", () => {
  const numbers = (list: readonly { start: bigint; end: bigint }[]) => {
    const set = new Set<bigint>();
    for (const { start, end } of list) for (let n = start; n < end; n++) set.add(n);
    return set;
  };
  fc.assert(fc.property(anyIntervals, anyIntervals, (a, b) => {
    const rest = subtract(normalized(a), normalized(b));
    assert.deepEqual(
      [...numbers(rest)],
      [...numbers(a).difference(numbers(b))].sort((x, y) => Number(x - y)),
    );
    assert.deepEqual(normalized(rest), rest);
  }));
});

Deno.test("changedNames() names a field exactly of names that stand for others", () => {
  fc.assert(
    fc.property(anySet, anySet, (before, after) => {
      const told = changedNames(before, after).map(({ name }) => name).sort();
      const names = before.policies.flatMap(({ name, devices }) =>
        [...devices.keys()].filter((device) =>
          matchOf(after, name, device) !== undefined && !sameDevice(before, after, name, device)
        ).map((device) => `${name}/${device}`)
      );
      assert.deepEqual(told, names.sort());
    }),
  );
});

Deno.test("diffDenies() tells each byte that one set denies on every host and the other does not", () => {
  /** Functions of a match, and the bytes that denies of that match take of each BAR. */
  const deniedOf = (set: PolicySet) =>
    set.policies.flatMap(({ devices, deny }) =>
      deny.flatMap((rule) => {
        const match = devices.get(rule.device.value)?.match;
        return match === undefined ? [] : [{ rule, match }];
      })
    );
  const isDenied = (set: PolicySet, one: AnyFunction, bar: number, byte: bigint) =>
    deniedOf(set).some(({ rule, match }) =>
      isOne(one, match) && (rule.bar ?? bar) === bar &&
      (rule.slices?.some(({ offset, length }) =>
        byte >= offset && (length === "rest" || byte < offset + length)
      ) ?? true)
    );
  const holds = (bytes: readonly Interval[], byte: bigint) =>
    bytes.some(({ start, end }) => start <= byte && byte < end);
  fc.assert(
    fc.property(anyPair, ([before, after]) => {
      const told = diffDenies(before, after);
      const matchOf = (set: PolicySet, name: string) => {
        const [policy = "", device = ""] = name.split("/");
        return set.policies.find((each) => each.name === policy)?.devices.get(device)?.match;
      };
      for (const { kind, device, bar, bytes, reasons } of told) {
        const isLess = kind === "removed" || kind === "narrowed";
        const [from, to] = isLess ? [before, after] : [after, before];
        const match = matchOf(from, device);
        assert.ok(match !== undefined && reasons.length > 0);
        for (let byte = 0n; byte < 40n; byte++) {
          if (!holds(bytes, byte)) continue;
          const functions = functionsOf(match);
          assert.ok(functions.every((one) => isDenied(from, one, bar, byte)), "was denied");
          // Of one match among several the other set may deny some functions by narrower ones.
          assert.ok(functions.some((one) => !isDenied(to, one, bar, byte)), "is so no more");
        }
      }
      for (
        const [kindsTold, from, to] of [
          [["removed", "narrowed"], before, after],
          [["added", "widened"], after, before],
        ] as const
      ) {
        const kinds: readonly string[] = kindsTold;
        for (const { match } of deniedOf(from)) {
          for (const bar of [0, 2, 4]) {
            for (let byte = 0n; byte < 40n; byte += 3n) {
              const lost = functionsOf(match).some((one) =>
                isDenied(from, one, bar, byte) && !isDenied(to, one, bar, byte)
              );
              if (!lost) continue;
              assert.ok(
                told.some((each) =>
                  kinds.includes(each.kind) && each.bar === bar && holds(each.bytes, byte)
                ),
              );
            }
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});
