/**
 * Which keys each mapping of a policy has: for "did you mean". A test holds it equal to the
 * schema.
 *
 * @module
 */

/** One kind of mapping. */
export interface Shape {
  /** What messages call it. */
  readonly name: string;
  readonly keys: readonly string[];
}

const POLICY: Shape = {
  name: "a policy",
  keys: ["apiVersion", "kind", "metadata", "defaults", "devices", "importers", "exports", "deny"],
};
const METADATA: Shape = {
  name: "metadata",
  keys: ["name", "description", "labels"],
};
const DEFAULTS: Shape = {
  name: "defaults",
  keys: ["access", "onReset", "grace", "expires", "collateral", "revocation"],
};
const DEVICE: Shape = {
  name: "a device",
  keys: ["match", "acquire", "owner", "many", "enableCmb", "labels"],
};
const MATCH: Shape = {
  name: "a match",
  keys: [
    "id",
    "address",
    "subsystem",
    "class",
    "serial",
    "driver",
    "iommuGroup",
    "numaNode",
    "barSizes",
  ],
};
const BAR_SIZES: Shape = {
  name: "barSizes",
  keys: ["0", "1", "2", "3", "4", "5"],
};
const OWNER: Shape = {
  name: "an owner",
  keys: ["unit", "user", "executable", "pidFile", "socket"],
};
const IMPORTER: Shape = {
  name: "an importer",
  keys: ["identity", "driver", "mapping", "device", "labels"],
};
const IMPORTER_DEVICE: Shape = {
  name: "an importer's device",
  keys: ["address", "id", "rdma", "drm", "nvme"],
};
const IDENTITY: Shape = {
  name: "an identity",
  keys: ["user", "group", "unit", "cgroup", "executable", "sha256"],
};
const EXPORT: Shape = {
  name: "an export",
  keys: [
    "name",
    "device",
    "bar",
    "slices",
    "region",
    "importers",
    "access",
    "onReset",
    "grace",
    "expires",
    "collateral",
    "revocation",
    "shared",
    "labels",
    "allowProtected",
  ],
};
const SLICE: Shape = { name: "a slice", keys: ["offset", "length"] };
const ALLOW_PROTECTED: Shape = {
  name: "an entry of allowProtected",
  keys: ["range", "reason"],
};
const DENY: Shape = {
  name: "a deny",
  keys: ["device", "bar", "slices", "reason"],
};

/** What a document can be. */
export type DocumentKind = "ExportPolicy" | "PolicySet" | "PolicyTest";

/** Mappings of an export policy by their path; `*` is any name or number. */
const POLICY_SHAPES: ReadonlyMap<string, Shape> = new Map([
  ["", POLICY],
  ["/metadata", METADATA],
  ["/devices/*", DEVICE],
  ["/defaults", DEFAULTS],
  ["/devices/*/match", MATCH],
  ["/devices/*/match/barSizes", BAR_SIZES],
  ["/devices/*/owner", OWNER],
  ["/importers/*", IMPORTER],
  ["/importers/*/identity", IDENTITY],
  ["/importers/*/device", IMPORTER_DEVICE],
  ["/exports/*", EXPORT],
  ["/exports/*/slices/*", SLICE],
  ["/exports/*/allowProtected/*", ALLOW_PROTECTED],
  ["/deny/*", DENY],
  ["/deny/*/slices/*", SLICE],
]);

const NAMED: Shape = { name: "metadata", keys: ["name", "description"] };

const SET_SHAPES: ReadonlyMap<string, Shape> = new Map([
  ["", { name: "a policy set", keys: ["apiVersion", "kind", "metadata", "files"] }],
  ["/metadata", NAMED],
  ["/files/*", { name: "a file of the set", keys: ["path", "sha256"] }],
]);

const TEST_SHAPES: ReadonlyMap<string, Shape> = new Map([
  ["", { name: "a policy test", keys: ["apiVersion", "kind", "metadata", "cases"] }],
  ["/metadata", NAMED],
  ["/cases/*", { name: "a case", keys: ["name", "request", "expect"] }],
  [
    "/cases/*/request",
    {
      name: "a request",
      keys: ["importer", "device", "bar", "offset", "length", "access"],
    },
  ],
  [
    "/cases/*/expect",
    { name: "an expectation", keys: ["decision", "rules", "reason", "diagnostic", "file"] },
  ],
]);

/** Mappings of each kind of document. */
export const SHAPES: Readonly<Record<DocumentKind, ReadonlyMap<string, Shape>>> = {
  ExportPolicy: POLICY_SHAPES,
  PolicySet: SET_SHAPES,
  PolicyTest: TEST_SHAPES,
};

/**
 * The path with names and numbers replaced by `*`.
 *
 * @example
 * ```ts
 * import { generalPath } from "./shape.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(generalPath(["exports", "0", "slices", "3"]), "/exports/*\/slices/*");
 * ```
 */
export function generalPath(path: readonly string[]): string {
  const named = path[0] === "devices" || path[0] === "importers";
  return path.map((part, depth) =>
    `/${(named && depth === 1) || (depth > 0 && /^[0-9]+$/.test(part)) ? "*" : part}`
  ).join("");
}
