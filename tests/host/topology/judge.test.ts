/** The kernel's peer-to-peer decision, case by case, as its source says what comes out. */
import assert from "node:assert/strict";
import { judgePath, type PathJudgement } from "../../../host/topology/judge.ts";
import { pathRemedy, pathText } from "../../../host/topology/words.ts";
import type { HostSnapshot } from "../../../host/snapshot.ts";
import { hostOf, REDIRECT, ROOT_PORT, type Spec, treeOf } from "./support.ts";

const BUS = "pci0000:00";
const SSD = "0000:03:00.0";
const NIC = "0000:04:00.0";
const LISTED: Spec = { address: "0000:00:00.0", parent: BUS, id: "8086:09a2" };
const UNLISTED: Spec = { ...LISTED, id: "8086:29c0" };
const AMD = { cpu: { vendor: "AuthenticAMD", family: 25 } };

/** An SSD and a NIC below one switch, whose ports have these control words. */
function below(root: Spec, ssdPort?: number, nicPort?: number, rootPort?: number): Spec[] {
  const acs = (control?: number) => control === undefined ? {} : { acs: control };
  return [
    root,
    { address: "0000:00:02.0", parent: BUS, type: ROOT_PORT, ...acs(rootPort) },
    { address: "0000:01:00.0", parent: "0000:00:02.0" },
    { address: "0000:02:00.0", parent: "0000:01:00.0", ...acs(ssdPort) },
    { address: "0000:02:04.0", parent: "0000:01:00.0", ...acs(nicPort) },
    { address: SSD, parent: "0000:02:00.0" },
    { address: NIC, parent: "0000:02:04.0" },
  ];
}

function judge(
  specs: readonly Spec[],
  more: Partial<HostSnapshot> = {},
  [from, to]: readonly [string, string] = [SSD, NIC],
): PathJudgement {
  const { tree, at } = treeOf(hostOf(specs, more));
  return judgePath(tree, at(from), at(to));
}

function told({ kind, path, redirecting, reason }: PathJudgement): unknown[] {
  return [kind, path.distance, redirecting.map(({ address }) => address), reason.code];
}

Deno.test("below one switch that lets through: direct, four steps, whatever is above it", () => {
  const judged = judge(below(UNLISTED, 0x11, 0x11, 0x1d));
  assert.deepEqual(told(judged), ["direct", 4, [], "common-bridge"]);
  assert.deepEqual(judged.path.exporterSide.map(({ address }) => address), [SSD, "0000:02:00.0"]);
  assert.equal(judged.path.common?.address, "0000:01:00.0");
  assert.deepEqual(judged.path.importerSide.map(({ address }) => address), [NIC, "0000:02:04.0"]);
  assert.equal(pathRemedy(judged), undefined);
});

Deno.test("each of the three bits redirects, on either side, and the ports are named", () => {
  for (const bit of [0x04, 0x08, 0x20]) {
    assert.deepEqual(told(judge(below(LISTED, bit))), [
      "through-host-bridge",
      4,
      ["0000:02:00.0"],
      "listed",
    ]);
    assert.deepEqual(told(judge(below(LISTED, 0, bit)))[2], ["0000:02:04.0"]);
  }
  for (const bit of [0x01, 0x02, 0x10, 0x40]) {
    assert.equal(judge(below(UNLISTED, bit, bit)).kind, "direct");
  }
  const both = judge(below(UNLISTED, REDIRECT, REDIRECT));
  assert.deepEqual(told(both), [
    "not-supported",
    4,
    ["0000:02:00.0", "0000:02:04.0"],
    "not-listed",
  ]);
  assert.equal(
    pathText(both),
    "not supported: 0000:02:00.0 and 0000:02:04.0 redirect requests to the root complex (ACS), and 8086:29c0 at 0000:00:00.0 is not on the kernel's list of host bridges that let them pass",
  );
  assert.match(pathRemedy(both) ?? "", /pci=disable_acs_redir=0000:02:00\.0;0000:02:04\.0 /);
});

Deno.test("what is common counts too, and the two functions themselves", () => {
  const together = (acs: Partial<Record<"port" | "one" | "other", number>>): Spec[] => {
    const control = (which: "port" | "one" | "other") => {
      const word = acs[which];
      return word === undefined ? {} : { acs: word };
    };
    return [
      UNLISTED,
      { address: "0000:00:02.0", parent: BUS, type: ROOT_PORT, ...control("port") },
      { address: "0000:01:00.0", parent: "0000:00:02.0", ...control("one") },
      { address: "0000:01:00.1", parent: "0000:00:02.0", ...control("other") },
    ];
  };
  const pair = ["0000:01:00.0", "0000:01:00.1"] as const;
  assert.deepEqual(told(judge(together({}), {}, pair)), ["direct", 2, [], "common-bridge"]);
  for (
    const [acs, address] of [
      [{ port: REDIRECT }, "0000:00:02.0"],
      [{ one: REDIRECT }, pair[0]],
      [{ other: REDIRECT }, pair[1]],
    ] as const
  ) assert.deepEqual(told(judge(together(acs), {}, pair))[2], [address]);
  const self = [pair[0], pair[0]] as const;
  assert.deepEqual(told(judge(together({}), {}, self)), ["direct", 0, [], "common-bridge"]);
  assert.equal(judge(together({ one: REDIRECT }), {}, self).kind, "not-supported");
});

Deno.test("nothing in common: the host bridge decides, and redirects do not", () => {
  const apart = (root: Spec): Spec[] => [
    root,
    { address: "0000:00:02.0", parent: BUS, type: ROOT_PORT, acs: REDIRECT },
    { address: "0000:00:03.0", parent: BUS, type: ROOT_PORT },
    { address: SSD, parent: "0000:00:02.0" },
    { address: NIC, parent: "0000:00:03.0" },
  ];
  assert.deepEqual(told(judge(apart(LISTED))), ["through-host-bridge", 4, [], "listed"]);
  assert.deepEqual(told(judge(apart(UNLISTED))), ["not-supported", 4, [], "not-listed"]);
  assert.deepEqual(told(judge(apart(UNLISTED), AMD)), ["through-host-bridge", 4, [], "amd-zen"]);
  assert.match(pathRemedy(judge(apart(UNLISTED))) ?? "", /move one of the two/);
});

Deno.test("a Zen is AMD's and of family 0x17 or later; the inventory must say", () => {
  const specs = below(UNLISTED, REDIRECT);
  const kindWith = (cpu: HostSnapshot["cpu"]) => {
    const { cpu: _cpu, ...host } = hostOf(specs);
    const { tree, at } = treeOf({ ...host, ...(cpu === undefined ? {} : { cpu }) });
    const { kind, reason } = judgePath(tree, at(SSD), at(NIC));
    return `${kind} ${reason.code}`;
  };
  assert.equal(
    kindWith({ vendor: "AuthenticAMD", family: 0x17 }),
    "through-host-bridge amd-zen",
  );
  for (
    const cpu of [
      { vendor: "AuthenticAMD", family: 0x16 },
      { vendor: "HygonGenuine", family: 0x18 },
      { vendor: "GenuineIntel", family: 0x19 },
      { vendor: "GenuineIntel" },
      { family: 0x16 },
      {},
    ]
  ) assert.equal(kindWith(cpu), "not-supported not-listed");
  for (const cpu of [undefined, { vendor: "AuthenticAMD" }, { family: 0x19 }]) {
    assert.equal(kindWith(cpu), "not-known processor-not-known");
  }
});

/** An SSD and a NIC on two host bridges, each with these first functions. */
function twoBridges(one: Partial<Spec>, other: Partial<Spec>): Spec[] {
  return [
    { address: "0000:00:00.0", parent: BUS, ...one },
    { address: "0000:80:00.0", parent: "pci0000:80", ...other },
    { address: "0000:00:1c.0", parent: BUS, type: ROOT_PORT },
    { address: "0000:80:1c.0", parent: "pci0000:80", type: ROOT_PORT },
    { address: SSD, parent: "0000:00:1c.0" },
    { address: NIC, parent: "0000:80:1c.0" },
  ];
}

Deno.test("two host bridges: both must be listed, and neither for itself alone", () => {
  const listed = { id: "8086:09a2" };
  const alone = { id: "8086:2f00" };
  const unlisted = { id: "8086:29c0" };
  assert.deepEqual(told(judge(twoBridges(listed, listed))).at(0), "through-host-bridge");
  const half = judge(twoBridges(listed, unlisted));
  assert.deepEqual(told(half), ["not-supported", 4, [], "not-listed"]);
  assert.match(pathText(half), /8086:29c0 at 0000:80:00\.0 is not/);
  const same = judge(twoBridges(listed, alone));
  assert.deepEqual(told(same), ["not-supported", 4, [], "listed-for-same"]);
  assert.match(pathRemedy(same) ?? "", /both below one host bridge/);
  const one = below({ ...LISTED, id: "8086:2f00" }, REDIRECT);
  assert.equal(judge(one).kind, "through-host-bridge");
});

Deno.test("a host bridge is known by function 00.0, or by a root port that is first", () => {
  const only = (first: Partial<Spec>): Spec[] => [
    { address: "0000:00:02.0", parent: BUS, id: "8086:2032", ...first },
    { address: "0000:00:03.0", parent: BUS, type: ROOT_PORT },
    { address: SSD, parent: "0000:00:02.0" },
    { address: NIC, parent: "0000:00:03.0" },
  ];
  assert.deepEqual(told(judge(only({ type: ROOT_PORT })))[3], "listed");
  assert.deepEqual(told(judge(only({ type: 0x9 })))[3], "nameless");
  assert.deepEqual(told(judge(only({})))[3], "nameless");
  assert.deepEqual(told(judge(only({ type: ROOT_PORT, read: 64 })))[3], "bridge-not-read");
  const virtual: Spec = { address: "0000:00:01.0", parent: BUS, physfn: "0000:00:03.0" };
  assert.deepEqual(told(judge([virtual, ...only({ type: ROOT_PORT })]))[3], "listed");
});

Deno.test("entries that came later are no promise for an earlier kernel", () => {
  const specs = below({ ...LISTED, id: "8086:0b25" }, REDIRECT);
  const kindOn = (release: string) => judge(specs, { kernel: { release } }).kind;
  assert.deepEqual(["7.1.4", "7.2.0", "7.3.4", "8.0.0"].map(kindOn), [
    "not-known",
    "through-host-bridge",
    "through-host-bridge",
    "through-host-bridge",
  ]);
  assert.equal(judge(specs, { kernel: { release: "7.1.4" }, ...AMD }).kind, "through-host-bridge");
  assert.equal(judge(below({ ...LISTED, id: "1ae0:1234" }, REDIRECT)).kind, "through-host-bridge");
});

Deno.test("a virtual function sits where its physical one does, which is not on the way", () => {
  const specs: Spec[] = [
    UNLISTED,
    { address: "0000:00:02.0", parent: BUS, type: ROOT_PORT },
    { address: "0000:04:00.0", parent: "0000:00:02.0", acs: REDIRECT },
    { address: "0000:04:10.0", parent: "pci0000:04", physfn: "0000:04:00.0" },
    { address: "0000:04:10.2", parent: "pci0000:04", physfn: "0000:04:00.0" },
  ];
  const virtual = ["0000:04:10.0", "0000:04:10.2"] as const;
  assert.deepEqual(told(judge(specs, {}, virtual)), ["direct", 2, [], "common-bridge"]);
  const toPhysical = judge(specs, {}, [virtual[0], "0000:04:00.0"]);
  assert.deepEqual(told(toPhysical), ["not-supported", 2, ["0000:04:00.0"], "not-listed"]);
});

Deno.test("functions of the root complex itself have nothing above them", () => {
  const specs = [
    LISTED,
    { address: "0000:00:05.0", parent: BUS },
    { address: "0000:00:06.0", parent: BUS },
  ];
  const pair = ["0000:00:05.0", "0000:00:06.0"] as const;
  assert.deepEqual(told(judge(specs, {}, pair)), ["through-host-bridge", 2, [], "listed"]);
});

Deno.test("domains are host bridges of their own", () => {
  const specs = [
    { address: "000c:00:00.0", parent: "pci000c:00", id: "1def:e100" },
    { address: "000d:00:00.0", parent: "pci000d:00", id: "1def:e100" },
    { address: "000c:01:00.0", parent: "000c:00:00.0" },
    { address: "000d:01:00.0", parent: "000d:00:00.0" },
  ];
  const judged = judge(specs, { cpu: {} }, ["000c:01:00.0", "000d:01:00.0"]);
  assert.deepEqual(told(judged), ["not-supported", 4, [], "not-listed"]);
  assert.match(
    pathText(judged),
    /1def:e100 at 000c:00:00\.0 and 1def:e100 at 000d:00:00\.0 are not/,
  );
});

Deno.test("what was not read is not taken for none, and the right is named", () => {
  const cut = (root: Spec, ...addresses: string[]) =>
    below(root).map((spec) => addresses.includes(spec.address) ? { ...spec, read: 64 } : spec);
  const judged = judge(cut(UNLISTED, "0000:02:04.0", NIC));
  assert.deepEqual(told(judged), ["not-known", 4, [], "redirect-not-read"]);
  assert.equal(judged.supported, undefined);
  assert.match(pathText(judged), /what 0000:04:00\.0 and 0000:02:04\.0 redirect/);
  assert.match(pathRemedy(judged) ?? "", /CAP_SYS_ADMIN/);
  assert.equal(judge(cut(LISTED, "0000:02:04.0")).supported, true, "either way it can be mapped");
  assert.equal(judge(cut(UNLISTED, "0000:00:02.0")).kind, "direct", "it is not on the way");
  const conventional = below(UNLISTED).map((spec) => ({ ...spec, read: 256 }));
  assert.equal(judge(conventional).kind, "direct", "256 bytes are all that such a function has");
  const seen = below(UNLISTED, REDIRECT).map((s) => s.address === NIC ? { ...s, read: 64 } : s);
  assert.equal(judge(seen).kind, "not-supported", "what is known decides already");
});

Deno.test("a way longer than any machine's is not followed to its end", () => {
  const hex = (at: number) => (at >> 8).toString(16).padStart(2, "0");
  const address = (at: number) =>
    `0000:${hex(at)}:${((at >> 3) & 31).toString(16).padStart(2, "0")}.${at & 7}`;
  const specs = Array.from({ length: 5_000 }, (_, at) => (
    { address: address(at), parent: at === 0 ? BUS : address(at - 1) }
  ));
  const { tree, at } = treeOf(hostOf(specs));
  assert.equal(tree.chain(at(address(4_999))).functions.length, 257);
  assert.equal(tree.chain(at(address(255))).rootBus, BUS);
  const { kind, reason } = judgePath(tree, at(address(4_999)), at(address(3)));
  assert.deepEqual([kind, reason.code], ["not-known", "way-not-known"]);
});

Deno.test("a way that leads out of the snapshot, or round, is not known", () => {
  const lost = below(LISTED).filter(({ address }) => address !== "0000:01:00.0");
  assert.deepEqual(told(judge(lost)).slice(0, 1), ["not-known"]);
  assert.equal(judge(lost).reason.code, "way-not-known");
  const round = below(LISTED).map((spec) =>
    spec.address === "0000:00:02.0" ? { ...spec, parent: "0000:01:00.0" } : spec
  );
  assert.equal(judge(round).kind, "direct", "what is common lies before the circle");
  const alone: Spec[] = [
    { address: SSD, parent: SSD },
    { address: NIC, parent: "0000:05:00.0" },
    { address: "0000:05:00.0", parent: NIC },
    { address: "0000:06:00.0", parent: BUS, physfn: "0000:07:00.0" },
  ];
  for (const address of [SSD, NIC, "0000:06:00.0"]) {
    assert.equal(judge(alone, {}, [address, "0000:05:00.0"]).path.distance > 0, true);
  }
});

Deno.test("a release candidate may lack what its release has", () => {
  const accelerator = below({ ...LISTED, id: "8086:0b25" }, REDIRECT);
  const by = (release: string) => judge(accelerator, { kernel: { release } }).reason.code;
  for (
    const release of [
      "7.1.9",
      "7.2.0-rc1",
      "7.2-rc7-custom",
      "7.2.0-rc1+",
      "7.2.0-0.rc3.27.fc45",
      "7.2.0+rc2",
      "odd",
    ]
  ) {
    assert.equal(by(release), "listed-later", release);
  }
  for (const release of ["7.2.0", "7.2.3-rc1", "7.2.0-19-generic", "7.3.0-rc1", "8.0-rc1"]) {
    assert.equal(by(release), "listed", release);
  }
});
