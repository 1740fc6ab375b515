/**
 * From a document's tree to a draft. Shape has been checked by the schema before; here, values that
 * have the wrong one are left out silently, and numbers are read from their exact text.
 *
 * @module
 */
import type {
  Choice,
  DenyDraft,
  DeviceDraft,
  ExportDraft,
  ImporterDraft,
  MatchDraft,
  OwnerDraft,
  PolicyDraft,
  Report,
  SliceDraft,
} from "./draft.ts";
import { parseDuration } from "./duration.ts";
import type { LineMap } from "./lines.ts";
import type { ImporterDevice, ImporterIdentity, Placed, Region } from "./model.ts";
import {
  asMapping,
  asScalar,
  entriesOf,
  type Entry,
  get,
  itemsOf,
  type MappingNode,
  type Node,
  oneOrMany,
  type ScalarNode,
} from "./node.ts";
import { DOORBELLS, DOORBELLS_BAR } from "./nvme_doorbells.ts";
import type { Span } from "./position.ts";
import { formatQuantity, parseQuantity } from "./quantity.ts";
import { related } from "./report.ts";
import { checkDecimal } from "./scalar_type.ts";

const DEFAULT_GRACE_MS = 2000;

/** Reads one document. */
export class DraftReader {
  readonly #lines: LineMap;
  readonly #report: Report;
  readonly #faulty: ReadonlySet<Node>;

  /**
   * @param lines of the document's file
   * @param report takes mistakes in the texts of numbers, durations and accounts
   * @param faulty values of which the schema has told that they are wrong
   */
  constructor(lines: LineMap, report: Report, faulty: ReadonlySet<Node>) {
    this.#lines = lines;
    this.#report = report;
    this.#faulty = faulty;
  }

  /** @param sound whether the schema found nothing wrong */
  policy(root: Node, sound: boolean): PolicyDraft {
    const metadata = get(root, "metadata");
    const defaults = asMapping(get(root, "defaults"));
    this.#checkTimes(defaults);
    return {
      ...optional("name", this.#text(get(metadata, "name"))),
      ...optional("description", this.#text(get(metadata, "description"))?.value),
      labels: this.#labels(get(metadata, "labels")),
      devices: named(get(root, "devices"), (entry) => this.#device(entry)),
      devicesReadable: get(root, "devices")?.kind === "mapping",
      importers: named(get(root, "importers"), (entry) => this.#importer(entry)),
      importersReadable: this.#areImportersReadable(root),
      exports: itemsOf(get(root, "exports")).flatMap((node) =>
        this.#mapped(node, (m) => this.#export(m, defaults))
      ),
      deny: itemsOf(get(root, "deny")).flatMap((node) => this.#mapped(node, (m) => this.#deny(m))),
      sound,
      at: this.#span(root),
    };
  }

  /** What no export takes from the defaults is written there all the same. */
  #checkTimes(defaults: MappingNode | undefined): void {
    this.#duration(get(defaults, "grace"));
    this.#expiry(get(defaults, "expires"));
  }

  /** There need be none, unless an unknown key may stand for them. */
  #areImportersReadable(root: Node): boolean {
    const importers = get(root, "importers");
    return importers === undefined ? !this.#faulty.has(root) : importers.kind === "mapping";
  }

  #mapped<T>(node: Node, read: (mapping: MappingNode) => T): T[] {
    const mapping = asMapping(node);
    return mapping === undefined ? [] : [read(mapping)];
  }

  #device({ key, value }: Entry): DeviceDraft {
    const match = asMapping(get(value, "match"));
    return {
      name: key.text,
      ...optional("match", match === undefined ? undefined : this.#match(match)),
      acquire: this.#choice(value, "acquire", ["open", "borrow"], key),
      ...optional("owner", this.#owner(value)),
      ...optional("many", this.#true(get(value, "many"))),
      ...optional("enableCmb", this.#true(get(value, "enableCmb"))),
      labels: this.#labels(get(value, "labels")),
      at: this.#span(key),
    };
  }

  #owner(device: Node): OwnerDraft | undefined {
    const owner = asMapping(device)?.entries.get("owner");
    if (owner === undefined) return undefined;
    const field = (key: string) => get(owner.value, key);
    return {
      ...optional("unit", this.#field(field("unit"))),
      ...optional("user", this.#account(field("user"))),
      ...optional("executable", this.#field(field("executable"))),
      ...optional("pidFile", this.#field(field("pidFile"))),
      ...optional("socket", this.#field(field("socket"))),
      at: this.#span(owner.key),
    };
  }

  #match(node: MappingNode): MatchDraft {
    for (const address of oneOrMany(get(node, "address"))) this.#checkQuotes(address);
    const texts = (key: string) => this.#anyOf(get(node, key), (item) => this.#text(item)?.value);
    const integers = (key: string) => this.#anyOf(get(node, key), (item) => this.#integer(item));
    return {
      id: texts("id"),
      address: texts("address"),
      subsystem: texts("subsystem"),
      class: texts("class"),
      serial: texts("serial"),
      driver: texts("driver"),
      iommuGroup: integers("iommuGroup"),
      numaNode: integers("numaNode"),
      barSizes: this.#barSizes(get(node, "barSizes")),
      at: this.#span(node),
    };
  }

  /** One item or a list; what stands twice in it counts once. */
  #anyOf<T>(node: Node | undefined, read: (item: Node) => T | undefined): readonly T[] {
    const first = new Map<T, Node>();
    for (const item of oneOrMany(node)) {
      const value = read(item);
      if (value === undefined) continue;
      const before = first.get(value);
      if (before === undefined) first.set(value, item);
      else this.#repeated(item, before);
    }
    return [...first.keys()];
  }

  #repeated(item: Node, first: Node): void {
    const text = asScalar(item)?.text ?? "";
    this.#report("BG1712", this.#span(item), `A match names ${text} twice`, {
      fix: `remove this ${text}, or write the value that was meant`,
      related: [related(this.#span(first), "first here")],
    });
  }

  #integer(node: Node): number | undefined {
    const scalar = asScalar(node);
    if (scalar?.type !== "integer") return undefined;
    checkDecimal(scalar, this.#span(scalar), this.#report);
    return Number(scalar.text);
  }

  #barSizes(node: Node | undefined): ReadonlyMap<number, readonly bigint[]> {
    const sizes = entriesOf(node).flatMap(({ key, value }) => {
      const list = this.#anyOf(value, (item) => this.#barSize(item));
      return /^[0-5]$/.test(key.text) && list.length > 0 ? [[Number(key.text), list] as const] : [];
    });
    return new Map(sizes);
  }

  #barSize(node: Node): bigint | undefined {
    const size = this.#quantity(node);
    if (size !== undefined && !isBarSize(size.value)) {
      const message =
        `Cannot match a BAR of this size: sizes are powers of two from 16 up (received ${
          formatQuantity(size.value)
        })`;
      this.#report("BG1705", size.at, message);
    }
    return size?.value;
  }

  #labels(node: Node | undefined): ReadonlyMap<string, string> {
    const texts = entriesOf(node).flatMap(({ key, value }) => {
      const text = this.#text(value);
      return text === undefined ? [] : [[key.text, text.value] as const];
    });
    return new Map(texts);
  }

  #checkQuotes(node: Node): void {
    if (node.kind !== "scalar" || !node.plain || node.type !== "string") return;
    // The right form that has been told has quotes.
    if (this.#faulty.has(node)) return;
    const message =
      `A PCI address should be quoted: readers of YAML 1.1 take it for a number (received ${node.text})`;
    this.#report("BG1109", this.#span(node), message, { fix: `write "${node.text}"` });
  }

  #importer({ key, value }: Entry): ImporterDraft {
    const identity = asMapping(value)?.entries.get("identity");
    return {
      name: key.text,
      identity: this.#identity(identity?.value),
      identityAt: this.#span(identity?.key ?? key),
      ...optional("driver", this.#text(get(value, "driver"))),
      mapping: this.#choice(value, "mapping", ["importer", "bargate"], key),
      ...optional("device", this.#importerDevice(get(value, "device"))),
      labels: this.#labels(get(value, "labels")),
      at: this.#span(key),
    };
  }

  #importerDevice(node: Node | undefined): ImporterDevice | undefined {
    const mapping = asMapping(node);
    if (mapping === undefined) return undefined;
    const address = get(mapping, "address");
    if (address !== undefined) this.#checkQuotes(address);
    const text = (key: string) => this.#text(get(mapping, key))?.value;
    return {
      ...optional("address", text("address")),
      ...optional("id", text("id")),
      ...optional("rdma", text("rdma")),
      ...optional("drm", text("drm")),
      ...optional("nvme", text("nvme")),
      at: this.#span(mapping),
    };
  }

  #identity(node: Node | undefined): ImporterIdentity {
    // Any key that nobody knows may be the one that says who it is.
    const unknown = node !== undefined && this.#faulty.has(node) ? node : undefined;
    return {
      ...optional("user", this.#account(get(node, "user")) ?? this.#field(unknown)),
      ...optional("group", this.#account(get(node, "group"))),
      ...optional("unit", this.#field(get(node, "unit"))),
      ...optional("cgroup", this.#field(get(node, "cgroup"))),
      ...optional("executable", this.#field(get(node, "executable"))),
      ...optional("sha256", this.#field(get(node, "sha256"))),
    };
  }

  #account(node: Node | undefined): Placed<string> | undefined {
    const account = this.#field(node);
    if (account === undefined || node === undefined || this.#faulty.has(node)) return account;
    const integer = asScalar(node)?.type === "integer";
    if (integer && !/^(?:0|[1-9][0-9]*)$/.test(account.value)) {
      const message =
        `Cannot accept the account: the id is not decimal (received ${account.value})`;
      this.#report("BG1111", account.at, message);
    }
    return account;
  }

  #export(node: MappingNode, defaults: MappingNode | undefined): ExportDraft {
    const name = node.entries.get("name");
    const head = name?.value ?? node.entries.values().next().value?.key ?? node;
    const field = (key: string) => get(node, key) ?? get(defaults, key);
    const unsure = [node, defaults].some((each) => each !== undefined && this.#faulty.has(each));
    return {
      ...optional("name", this.#text(name?.value)),
      ...optional("device", this.#text(get(node, "device"))),
      ...optional("bar", this.#barOf(node)),
      slices: this.#slices(node),
      ...optional("region", this.#region(get(node, "region"))),
      importers: itemsOf(get(node, "importers")).flatMap((item) => this.#text(item) ?? []),
      access: this.#chosen(field("access"), ["read-write", "read-only"], unsure, head),
      onReset: this.#chosen(field("onReset"), ["revoke", "restore"], unsure, head),
      grace: this.#grace(field("grace"), head),
      ...optional("expires", this.#expiry(field("expires"))),
      ...optional("shared", this.#true(get(node, "shared"))),
      labels: this.#labels(get(node, "labels")),
      unsure,
      ...optional("collateral", this.#word(field("collateral"), "device")),
      ...optional("revocation", this.#word(field("revocation"), "cooperative")),
      allowProtected: itemsOf(get(node, "allowProtected")).flatMap((item) => this.#allowed(item)),
      at: this.#span(head),
    };
  }

  /** The doorbells say by themselves in which BAR they are. */
  #barOf(node: MappingNode): Placed<number> | undefined {
    const region = this.#region(get(node, "region"));
    const written = get(node, "bar");
    if (written !== undefined || region?.value !== "nvme.doorbells") return this.#bar(written);
    return { value: DOORBELLS_BAR, at: region.at };
  }

  #region(node: Node | undefined): Placed<Region> | undefined {
    const scalar = asScalar(node);
    const value = (["nvme.cmb", "nvme.doorbells"] as const).find((name) => name === scalar?.text);
    return scalar === undefined || value === undefined
      ? undefined
      : { value, at: this.#span(scalar) };
  }

  /** `region: whole` is the slice from the first byte to the end. */
  #slices(node: MappingNode): readonly SliceDraft[] {
    const region = get(node, "region");
    const slices = get(node, "slices");
    if (region === undefined) return itemsOf(slices).map((item) => this.#slice(item));
    const at = this.#span(region);
    if (slices !== undefined) {
      this.#report("BG1410", at, "Cannot accept both slices and a region in one export");
    }
    const name = asScalar(region)?.text;
    if (name === "whole") return [{ rule: { offset: 0n, length: "rest", at } }];
    return name === "nvme.doorbells" ? [{ rule: { ...DOORBELLS, at } }] : [{}];
  }

  /** One that cannot be read is taken for the shortest, of which nothing follows. */
  #grace(node: Node | undefined, head: Node): Placed<number> {
    if (node === undefined) return { value: DEFAULT_GRACE_MS, at: this.#span(head) };
    return this.#duration(node) ?? { value: 0, at: this.#span(node) };
  }

  /** Zero is refused whatever its unit, or without one: no spelling of it is right here. */
  #expiry(node: Node | undefined): Placed<number> | undefined {
    const scalar = asScalar(node);
    if (scalar === undefined || !/^0+(?:\.0+)?\s*[A-Za-z]*$/.test(scalar.text)) {
      return this.#duration(node);
    }
    const at = this.#span(scalar);
    const why = "a grant that expires at once grants nothing";
    this.#report(
      "BG1203",
      at,
      `Cannot accept the duration: ${why} (received ${quoted(scalar)})`,
      { fix: "write a longer time, or remove the key" },
    );
    return { value: 0, at };
  }

  /** Whatever is there and is no truth value is told, and was meant to say something. */
  #true(node: Node | undefined): Placed<true> | undefined {
    if (node === undefined) return undefined;
    const no = /^(?:false|no|off)$/i.test(asScalar(node)?.text ?? "");
    return no ? undefined : { value: true, at: this.#span(node) };
  }

  #allowed(node: Node): ExportDraft["allowProtected"] {
    const range = this.#text(get(node, "range"))?.value;
    const reason = this.#text(get(node, "reason"))?.value;
    if (reason === undefined || (range !== "msix-table" && range !== "msix-pba")) return [];
    return [{ range, reason, at: this.#span(node) }];
  }

  #deny(node: MappingNode): DenyDraft {
    const [bar, slices] = [get(node, "bar"), get(node, "slices")];
    const index = this.#bar(bar)?.value;
    // One that may be about less than it seems is taken for one about nothing.
    const unsure = this.#faulty.has(node) || (index === undefined && (bar ?? slices) !== undefined);
    const given = unsure ? [] : slices && itemsOf(slices).map((item) => this.#slice(item));
    return {
      ...optional("device", this.#text(get(node, "device"))),
      ...optional("bar", index),
      ...optional("slices", given),
      reason: this.#text(get(node, "reason"))?.value ?? "",
      at: this.#span(node),
    };
  }

  #slice(node: Node): SliceDraft {
    const offset = this.#quantity(get(node, "offset"));
    const length = this.#length(get(node, "length"));
    const rule = offset === undefined || length === undefined
      ? undefined
      : { offset: offset.value, length: length.value, at: this.#span(node) };
    return {
      ...optional("rule", rule),
      ...optional("offset", offset),
      ...optional("length", length),
    };
  }

  #length(node: Node | undefined): Placed<bigint | "rest"> | undefined {
    const scalar = asScalar(node);
    if (scalar?.text === "rest") return { value: "rest", at: this.#span(scalar) };
    return this.#quantity(node, /^rest$/i.test(scalar?.text ?? "") ? "write rest" : undefined);
  }

  /** @param word what to write where it is no number that was meant */
  #quantity(node: Node | undefined, word?: string): Placed<bigint> | undefined {
    const scalar = asScalar(node);
    if (scalar === undefined) return undefined;
    const at = this.#span(scalar);
    const result = parseQuantity(scalar.text);
    if (result.ok) return { value: result.value, at };
    const message = `Cannot accept the number of bytes: ${result.why} (received ${quoted(scalar)})`;
    this.#report(result.problem === "range" ? "BG1202" : "BG1201", at, message, {
      fix: word ?? result.fix,
    });
    return undefined;
  }

  #duration(node: Node | undefined): Placed<number> | undefined {
    const scalar = asScalar(node);
    if (scalar === undefined) return undefined;
    const result = parseDuration(scalar.text);
    if (result.ok) return { value: result.ms, at: this.#span(scalar) };
    const message = `Cannot accept the duration: ${result.why} (received ${quoted(scalar)})`;
    this.#report("BG1203", this.#span(scalar), message, { fix: result.fix });
    return undefined;
  }

  #bar(node: Node | undefined): Placed<number> | undefined {
    const scalar = asScalar(node);
    if (scalar?.type !== "integer") return undefined;
    const value = Number(scalar.text);
    if (value < 0 || value > 5) return undefined;
    const at = this.#span(scalar);
    checkDecimal(scalar, at, this.#report);
    return { value, at };
  }

  #choice<T extends string>(
    holder: Node,
    key: string,
    choices: readonly [T, ...T[]],
    place: Node,
  ): Choice<T> {
    return this.#chosen(get(holder, key), choices, this.#faulty.has(holder), place);
  }

  /**
   * @param choices the one that holds without a word first
   * @param unsure whether an unknown key may stand for it
   */
  #chosen<T extends string>(
    node: Node | undefined,
    choices: readonly [T, ...T[]],
    unsure: boolean,
    place: Node,
  ): Choice<T> {
    const text = asScalar(node)?.text;
    const found = node === undefined && !unsure
      ? choices[0]
      : choices.find((choice) => choice === text);
    return { value: found ?? "unread", at: this.#span(node ?? place) };
  }

  /** The only value that a key has: whatever else is there is told, and was meant to be it. */
  #word<T extends string>(node: Node | undefined, word: T): Placed<T> | undefined {
    return node === undefined ? undefined : { value: word, at: this.#span(node) };
  }

  /** A field of an identity. One that is wrong is told, and was given all the same. */
  #field(node: Node | undefined): Placed<string> | undefined {
    if (node === undefined) return undefined;
    return { value: asScalar(node)?.text ?? "", at: this.#span(node) };
  }

  #text(node: Node | undefined): Placed<string> | undefined {
    const scalar = asScalar(node);
    if (scalar?.type !== "string") return undefined;
    return { value: scalar.text, at: this.#span(scalar) };
  }

  #span(node: Node): Span {
    return this.#lines.spanOf(node);
  }
}

/** The smallest BAR has 16 bytes, and each bit of its address doubles it. */
function isBarSize(bytes: bigint): boolean {
  return bytes >= 16n && (bytes & (bytes - 1n)) === 0n;
}

/** Long texts are cut: a message must stay readable. */
function quoted(node: ScalarNode): string {
  const text = node.text.length > 80 ? `${node.text.slice(0, 80)}…` : node.text;
  return node.type === "string" ? JSON.stringify(text) : text || "nothing";
}

function named<T>(node: Node | undefined, read: (entry: Entry) => T): ReadonlyMap<string, T> {
  return new Map(entriesOf(node).map((entry) => [entry.key.text, read(entry)]));
}

/** An object with the key, or without it: absent is not `undefined` in the model. */
function optional<K extends string, V>(
  key: K,
  value: V | undefined,
): { readonly [P in K]?: V } {
  return value === undefined ? {} : { [key]: value } as { readonly [P in K]: V };
}
