/**
 * Every diagnostic that checking policies can give: the closed list. Their examples are in
 * `code_examples.ts`, which nothing loads that only checks; `docs/diagnostics.md` is generated from
 * both.
 *
 * @module
 */
import type { Severity } from "./diagnostic.ts";

/** What a code means. */
export interface CodeEntry {
  readonly severity: Severity;
  /** One line: what is wrong. */
  readonly title: string;
  /** Why it is not accepted. */
  readonly why: string;
  /** What to do. */
  readonly fix: string;
}

/** Every code, in order. */
export const CODES = {
  BG1001: {
    severity: "error",
    title: "The file is too large",
    why: "Policies are read and reviewed by people; a limit of 32 MiB keeps hostile input cheap.",
    fix: "Split the policy into several files.",
  },
  BG1002: {
    severity: "error",
    title: "The file is not UTF-8",
    why: "Bytes that are no text could be shown differently by each tool that reads them.",
    fix: "Save the file as UTF-8.",
  },
  BG1003: {
    severity: "error",
    title: "A control or hidden character",
    why:
      "Such characters can make a policy look different from what it means: controls (NUL, U+202E, U+2066, a byte order mark inside the text, U+2028), a carriage return that is not part of CRLF, which ends a line to YAML and to few others, and what nobody sees (soft hyphens, variation selectors, tags, fillers such as U+3164).",
    fix: "Delete the character.",
  },
  BG1004: {
    severity: "error",
    title: "The file is not YAML",
    why:
      "The text breaks the grammar of YAML 1.2. The rest of the document is not checked; the next documents of the file are.",
    fix: "Mend the place that is shown; the mistake is there or just before it.",
  },
  BG1005: {
    severity: "error",
    title: "Nested too deeply",
    why: "No policy needs more than 32 levels; deeper input is an attack or a mistake.",
    fix: "Remove the nesting.",
  },
  BG1006: {
    severity: "error",
    title: "A key stands twice",
    why: "Readers disagree on which of two equal keys wins.",
    fix: "Keep one of them.",
  },
  BG1007: {
    severity: "error",
    title: "A tag that policies do not have",
    why:
      "Only the core tags (!!str, !!int, !!bool, !!float, !!null, !!map, !!seq) mean anything here.",
    fix: "Remove the tag.",
  },
  BG1008: {
    severity: "error",
    title: "An alias without its anchor",
    why: "An alias must name an anchor that is complete before it.",
    fix: "Define the anchor before, or write the value out.",
  },
  BG1009: {
    severity: "error",
    title: "Aliases expand to too much",
    why: "A few lines of nested aliases can stand for billions of values.",
    fix: "Write the values out.",
  },
  BG1010: {
    severity: "error",
    title: "A merge key",
    why: "`<<` is not part of YAML 1.2, and hides from a reviewer what a rule says.",
    fix: "Write the keys out.",
  },
  BG1011: {
    severity: "error",
    title: "A key that is no plain text",
    why: "Keys of a policy are names.",
    fix: "Write a name.",
  },
  BG1012: {
    severity: "error",
    title: "A YAML directive that is not accepted",
    why: "Only `%YAML 1.2` says what policies are; tag directives would rename tags.",
    fix: "Remove the directive.",
  },
  BG1013: {
    severity: "error",
    title: "No policy",
    why: "An empty document is more likely a mistake than a policy that allows nothing.",
    fix: "Write a policy, or remove the file or the `---`.",
  },
  BG1014: {
    severity: "note",
    title: "More problems than are shown",
    why:
      "Of each file 1000 diagnostics are kept, errors before all others; the rest is only counted.",
    fix: "Mend what is shown first.",
  },
  BG1015: {
    severity: "error",
    title: "An escape that hides a word",
    why:
      "Whoever reads or searches a policy looks for its words. No letter or digit and none of `. _ - : /` needs an escape by its number, and no word has to go on behind the end of a line.",
    fix: "Write the character itself.",
  },
  BG1016: {
    severity: "error",
    title: "An anchor that is defined twice",
    why: "What an alias stands for would hang on which of the two stands before it.",
    fix: "Give the second anchor a name of its own.",
  },
  BG1101: {
    severity: "error",
    title: "An unknown key",
    why: "A key that is ignored would be a rule that somebody believes in and nobody enforces.",
    fix: "Correct the spelling, or remove the key.",
  },
  BG1103: {
    severity: "error",
    title: "A key is missing",
    why: "Nothing that decides about access is guessed.",
    fix: "Add the key.",
  },
  BG1104: {
    severity: "error",
    title: "A value of the wrong type",
    why: "The value cannot mean what its key says. Text that looks like a number must be quoted.",
    fix: "Write a value of the type that is named.",
  },
  BG1105: {
    severity: "error",
    title: "Not one of the values allowed here",
    why: "The key has a closed list of values.",
    fix: "Write one of the values that are named.",
  },
  BG1106: {
    severity: "error",
    title: "Out of range, too short or too long",
    why: "A BAR is 0 to 5, a list that is given is not empty, a reason is given in words.",
    fix: "Stay within the limit that is named.",
  },
  BG1107: {
    severity: "error",
    title: "A name with characters that names do not have",
    why:
      "Names are passed to importers in LISTEN_FDNAMES and written to logs: lower-case letters, digits, `.`, `_` and `-`, at most 63, the first a letter or digit.",
    fix: "Choose a name of those characters.",
  },
  BG1108: {
    severity: "error",
    title: "Not a PCI id, address or class",
    why: "It could match no device.",
    fix: 'Write ids as "144d:a80a", addresses as "0000:03:00.0", classes as "010802", lower case.',
  },
  BG1109: {
    severity: "warning",
    title: "A PCI address without quotes",
    why: "Readers of YAML 1.1 take 0000:01:00.0 for the number 60.",
    fix: "Put it into double quotes.",
  },
  BG1110: {
    severity: "error",
    title: "Not an absolute path",
    why:
      "Executables, pid files and control groups are compared by their path from the root, without `.`, `..` or doubled slashes.",
    fix:
      "Write the path from the root, as in /usr/bin/nvmf_tgt, or for a control group /system.slice/nvmf.service.",
  },
  BG1111: {
    severity: "error",
    title: "Not an account",
    why: "It could be no user and no group of any host.",
    fix: "Write an account name, or a decimal id.",
  },
  BG1112: {
    severity: "error",
    title: "Not a systemd unit of processes",
    why: "Processes belong to services and scopes, which are named with their suffix.",
    fix: "Write the unit's full name, as in spdk_tgt.service.",
  },
  BG1113: {
    severity: "error",
    title: "Not a SHA-256",
    why: "The hash of an executable is 64 lower-case hexadecimal digits.",
    fix: "Write what `sha256sum` prints, in quotes.",
  },
  BG1114: {
    severity: "error",
    title: "A number that readers disagree on",
    why:
      "010 is ten for YAML 1.2 and eight for YAML 1.1, and not every reader knows signs, 0o and 0x. The index of a BAR, a group and a node are written in one way.",
    fix: "Write it in decimal, without leading zeros and without a sign.",
  },
  BG1201: {
    severity: "error",
    title: "Not a number of bytes",
    why:
      "MB, K, fractions and leading zeros are read differently by different people and programs.",
    fix: "Write a whole number, 0x…, or a whole number with KiB, MiB, GiB or TiB.",
  },
  BG1202: {
    severity: "error",
    title: "A number that does not fit 64 bits",
    why: "The kernel's interface has 64 bits.",
    fix: "Write at most 0xffffffffffffffff.",
  },
  BG1203: {
    severity: "error",
    title: "Not a duration",
    why: "A number without a unit, or with a fraction, is read differently by different people.",
    fix: "Write a whole number with ms, s, m, h or d, at most 24d.",
  },
  BG1204: {
    severity: "warning",
    title: "A grant shorter than the time to let go of it",
    why: "It would spend all its life ending.",
    fix: "Make `expires` longer, or `grace` shorter.",
  },
  BG1301: {
    severity: "error",
    title: "An unknown device",
    why: "The rule names a device that this policy does not define.",
    fix: "Define it under `devices`, or correct the name.",
  },
  BG1302: {
    severity: "error",
    title: "An unknown importer",
    why: "The rule names an importer that this policy does not define.",
    fix: "Define it under `importers`, or correct the name.",
  },
  BG1303: {
    severity: "warning",
    title: "A device that no rule uses",
    why: "It is left over, or a rule is missing.",
    fix: "Remove it, or use it.",
  },
  BG1304: {
    severity: "warning",
    title: "An importer that no rule uses",
    why: "It is left over, or a rule is missing.",
    fix: "Remove it, or use it.",
  },
  BG1305: {
    severity: "error",
    title: "Two exports of one name",
    why: "Importers find their buffers by the name of the export.",
    fix: "Rename one of them.",
  },
  BG1306: {
    severity: "error",
    title: "Two policies of one name",
    why: "Outside its file a rule is named policy/export, in plans, events and the audit.",
    fix: "Rename one of them.",
  },
  BG1307: {
    severity: "error",
    title: "The export name `bargate`",
    why: "Importers get the channel to Bargate under this name.",
    fix: "Choose another name.",
  },
  BG1308: {
    severity: "error",
    title: "An importer listed twice",
    why: "Each importer of an export gets one grant.",
    fix: "Remove one of them.",
  },
  BG1309: {
    severity: "warning",
    title: "A rule that allows nothing new",
    why:
      "Another rule already allows the same importers the same bytes: one of the two is left over, or a mistake hides in it.",
    fix: "Remove one of them.",
  },
  BG1310: {
    severity: "warning",
    title: "A deny that denies nothing new",
    why:
      "Other denies that hold for the same devices deny all of it: one of them is left over, or a mistake hides in it. Who removes the other believes that this one was never needed.",
    fix: "Remove one of them.",
  },
  BG1401: {
    severity: "error",
    title: "An offset that is not at a page",
    why: "The kernel exports whole pages.",
    fix: "Use a multiple of the page size.",
  },
  BG1402: {
    severity: "error",
    title: "A length that is not whole pages",
    why: "The kernel exports whole pages.",
    fix: "Use a multiple of the page size.",
  },
  BG1403: {
    severity: "error",
    title: "A slice or request of length zero",
    why:
      "The kernel refuses the slice, and it grants nothing; a test that asks for nothing tests nothing.",
    fix: "Give it a length, or remove it.",
  },
  BG1404: {
    severity: "error",
    title: "A slice that ends past 64 bits",
    why: "Offset and length together do not fit the kernel's numbers.",
    fix: "Use a smaller offset or length.",
  },
  BG1405: {
    severity: "error",
    title: "Slices of one buffer overlap",
    why: "One byte of the BAR would be at two places of the buffer.",
    fix: "Make them apart, or one.",
  },
  BG1406: {
    severity: "error",
    title: "A slice that is denied",
    why: "A deny always wins, so the export could never be made.",
    fix: "Take the denied range out of the slice, or remove the deny.",
  },
  BG1407: {
    severity: "error",
    title: "An export that is denied wholly",
    why: "A deny always wins, so nothing is left of the export.",
    fix: "Remove the export, or the deny.",
  },
  BG1408: {
    severity: "error",
    title: "Bytes in two grants",
    why:
      "Whoever has the one grant sees and may change what the other holds. Sharing must be meant, so every rule that takes part says it.",
    fix: "Add `shared: true` to each of them, or make the slices apart.",
  },
  BG1409: {
    severity: "warning",
    title: "`shared` where nothing is shared",
    why: "A reviewer would look for the other grant, and a later rule would share unseen.",
    fix: "Remove it.",
  },
  BG1410: {
    severity: "error",
    title: "Both slices and a region",
    why: "A region stands for slices; two answers to one question cannot both hold.",
    fix: "Keep one of them.",
  },
  BG1411: {
    severity: "warning",
    title: "Doorbells of the admin queue",
    why:
      "The page of the doorbells starts with those of queue 0: whoever may write to it can disturb the controller's own commands, whichever queues were meant. No page leaves them out.",
    fix: "Give it only to importers that may command the whole controller.",
  },
  BG1412: {
    severity: "error",
    title: "Doorbells in another BAR",
    why: "An NVMe controller has its registers and doorbells in BAR 0.",
    fix: "Leave `bar` out.",
  },
  BG1413: {
    severity: "warning",
    title: "Registers or doorbells by plain slices",
    why:
      "The match says that the device is an NVMe controller, and BAR 0 of one begins with its registers: whoever writes these stops the controller and gives its queues other memory. Its doorbells follow from 0x1000 on.",
    fix:
      "Leave BAR 0 out, or, where the importer is to ring doorbells, write `region: nvme.doorbells`.",
  },
  BG1501: {
    severity: "error",
    title: "An unknown importer driver",
    why: "Only drivers in Bargate's table are known to give memory back when it is revoked.",
    fix: "Name a driver of the table in docs/policy.md.",
  },
  BG1502: {
    severity: "error",
    title: "An importer driver that the kernel refuses",
    why: "It cannot import a VFIO dma-buf, so the rule could never work.",
    fix: "Name a driver that the kernel accepts, see docs/policy.md.",
  },
  BG1503: {
    severity: "error",
    title: "More ranges than the importer driver takes",
    why: "iommufd takes exactly one range per buffer. Slices that touch, in order, are one range.",
    fix: "Make an export of its own for each range.",
  },
  BG1504: {
    severity: "error",
    title: "`mapping: bargate` with a driver other than iommufd",
    why: "Only an iommufd can be lent to Bargate to be mapped into.",
    fix: "Use driver iommufd, or mapping importer.",
  },
  BG1505: {
    severity: "error",
    title: "`access: read-only` that nothing enforces",
    why:
      "A dma-buf of a BAR is writable for whoever maps it; only a mapping made by Bargate is not.",
    fix: "Use driver iommufd with mapping bargate, or access read-write.",
  },
  BG1506: {
    severity: "error",
    title: "An identity that is none",
    why:
      "An executable can be made to do anything by those who may trace or preload it, whatever its path or hash, and a group is shared: who runs it must be said too.",
    fix: "Add `user`, `unit` or `cgroup`.",
  },
  BG1507: {
    severity: "warning",
    title: "An identity that is still an example",
    why:
      "`change-me` is what `bargate init` writes where somebody has to say who the importer is: no host has such an account, and whoever made one would get the slices.",
    fix: "Write the account that the importer runs as.",
  },
  BG1508: {
    severity: "warning",
    title: "An importer that is root",
    why:
      "Root can do anything with devices and with Bargate, and every root process has this identity: nothing that Bargate promises holds against such an importer.",
    fix: "Run the importer as an account of its own, and name that.",
  },
  BG1601: {
    severity: "error",
    title: "Revoke and restore on one device",
    why:
      "Ending the grants of the rule that revokes needs a new generation of the device, which ends and renews the grants that should be restored.",
    fix: "Add `collateral: device` to the rule that revokes, or use one onReset for both.",
  },
  BG1602: {
    severity: "error",
    title: "Grants that can only be taken back together",
    why:
      "A device's grants can be revoked for good only by closing it, which ends and renews all of them; a rule must say that it accepts this.",
    fix: "Add `collateral: device`.",
  },
  BG1603: {
    severity: "error",
    title: "A borrowed device's export that does not say how it is taken back",
    why:
      "Only its owner can close or reset a borrowed device; Bargate can take the grant back only if the importer lets go. A rule must say that it accepts this.",
    fix: "Add `revocation: cooperative`.",
  },
  BG1604: {
    severity: "warning",
    title: "`revocation: cooperative` on a device that Bargate opens",
    why:
      "Bargate can take such grants back without the importer's help, so the line only misleads.",
    fix: "Remove it.",
  },
  BG1605: {
    severity: "warning",
    title: "`collateral` on a borrowed device",
    why: "Bargate never closes a device that it borrows, so ending a grant ends no other.",
    fix: "Remove it.",
  },
  BG1701: {
    severity: "error",
    title: "A borrowed device without its owner",
    why: "Whoever holds a device fd could pose as the owner.",
    fix: "Add `owner` with the unit, the pid file, or the executable and the user.",
  },
  BG1702: {
    severity: "error",
    title: "An owner of a device that Bargate opens",
    why: "Bargate is the owner of what it opens.",
    fix: "Remove `owner`, or add `acquire: borrow`.",
  },
  BG1703: {
    severity: "error",
    title: "An owner that is no process in particular",
    why:
      "An executable can be started by anybody, an account runs many programs, and on a path may listen whoever can make files there: none of them singles out a process.",
    fix: "Give `unit`, `pidFile`, or `user` with `executable` or `socket`.",
  },
  BG1704: {
    severity: "error",
    title: "One device acquired in two ways",
    why: "A device has one owner: either Bargate or one other process.",
    fix: "Use one `acquire`, and one `owner`, for both.",
  },
  BG1705: {
    severity: "error",
    title: "A size that no BAR has",
    why: "Sizes of BARs are powers of two, so such a match matches nothing.",
    fix: "Write the BAR's size as `lspci -v` shows it.",
  },
  BG1706: {
    severity: "warning",
    title: "An address without an id",
    why:
      "An address names a slot: whatever card is put there, or gets its number, is exported from.",
    fix: "Add the `id`.",
  },
  BG1707: {
    severity: "warning",
    title: "A device of any model",
    why:
      "Offsets in a BAR mean something for one model only; for another they may be its registers.",
    fix: "Add the `id`.",
  },
  BG1708: {
    severity: "error",
    title: "An export from a driver that cannot export",
    why: "Only a device bound to vfio-pci can be exported from.",
    fix: "Remove `driver`, or write vfio-pci.",
  },
  BG1709: {
    severity: "error",
    title: "A slice past the size that the BAR must have",
    why: "The match demands a BAR that is smaller than the slice, so the rule could never work.",
    fix: "Shorten the slice, or correct the size.",
  },
  BG1710: {
    severity: "warning",
    title: "`enableCmb` that nothing needs",
    why: "It lets Bargate write to the device, and no rule exports the memory buffer of it.",
    fix: "Remove it, or export `region: nvme.cmb`.",
  },
  BG1711: {
    severity: "error",
    title: "`enableCmb` on a borrowed device",
    why: "A borrowed device is its owner's; Bargate writes nothing to it.",
    fix: "Let the owner enable the buffer, and remove the key.",
  },
  BG1712: {
    severity: "warning",
    title: "A value twice in one list of a match",
    why:
      "A list holds if one of its items does, so the second says nothing; another value may have been meant.",
    fix: "Remove one of them, or write the value that was meant.",
  },
  BG1713: {
    severity: "warning",
    title: "One match both of one device and of many",
    why:
      "Where several functions match, the rules of the one device fail, and with them the plan; where one does, the other's grants are called by its address all the same.",
    fix: "Give `many: true` to both or to neither.",
  },
  BG1801: {
    severity: "error",
    title: "A file of the set is missing",
    why: "A set takes effect whole or not at all; without one of its files a deny may be lacking.",
    fix: "Give all files of the set, or correct the manifest.",
  },
  BG1802: {
    severity: "error",
    title: "A policy that is not in the manifest",
    why: "A file that somebody forgot, or added unseen, would allow what nobody reviewed.",
    fix: "Remove the file, or list it with its hash.",
  },
  BG1803: {
    severity: "error",
    title: "A file is not the one listed",
    why: "The file was changed after the manifest was made, or comes from another version.",
    fix: "Restore the file, or list the hash that `sha256sum` prints.",
  },
  BG1804: {
    severity: "error",
    title: "A file listed twice, or two manifests",
    why: "A set is made of one list of files, each once.",
    fix: "Keep one of them.",
  },
  BG1805: {
    severity: "error",
    title: "A test case without one question",
    why: "A case asks for a decision or expects a diagnostic; one that does neither always passes.",
    fix: "Give a `request`, or expect a `diagnostic`.",
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;

/** One of the codes. */
export type Code = keyof typeof CODES;
