/** Wrong rules for the simulation, one line of code each: the conformance suite must see them all. @module */

/** A wrong rule. */
export interface WrongRule {
  /** What the simulation would do. */
  readonly what: string;
  readonly file: `sim/${string}.ts`;
  /** Text that occurs once. */
  readonly text: string;
  readonly instead: string;
}

/** The wrong rules. */
export const WRONG_RULES: readonly WrongRule[] = [
  // ── the export ────────────────────────────────────────────────────────────────────────────────
  {
    what: "an export of no range is refused as no BAR",
    file: "sim/vfio.ts",
    text: `if (ranges.length === 0) throw refused("EINVAL");`,
    instead: `if (ranges.length === 0) throw refused("ENODEV");`,
  },
  {
    what: "a BAR that is not there is refused with EINVAL",
    file: "sim/vfio.ts",
    text: `if (bar === undefined && !ports) throw refused("ENODEV");`,
    instead: `if (bar === undefined && !ports) throw refused("EINVAL");`,
  },
  {
    what: "a range may start inside a page",
    file: "sim/vfio.ts",
    text: `if (length === 0n || offset % page !== 0n || length % page !== 0n)`,
    instead: `if (length === 0n || length % page !== 0n)`,
  },
  {
    what: "a range may end inside a page",
    file: "sim/vfio.ts",
    text: `if (length === 0n || offset % page !== 0n || length % page !== 0n)`,
    instead: `if (length === 0n || offset % page !== 0n)`,
  },
  {
    what: "an empty range is taken",
    file: "sim/vfio.ts",
    text: `if (length === 0n || offset % page`,
    instead: `if (offset % page`,
  },
  {
    what: "a range may end past the BAR",
    file: "sim/vfio.ts",
    text: `if (offset + length > bar) throw refused("EINVAL");`,
    instead: `if (offset > bar) throw refused("EINVAL");`,
  },
  {
    what: "a range past all addresses is refused with EINVAL",
    file: "sim/vfio.ts",
    text: `throw refused("EOVERFLOW");`,
    instead: `throw refused("EINVAL");`,
  },
  {
    what: "the ROM is exported like a BAR",
    file: "sim/vfio.ts",
    text: `const bar = region < BARS ? this.fn.bars.get(region) : undefined;`,
    instead: `const bar = this.fn.bars.get(region < BARS ? region : 2);`,
  },
  {
    what: "a buffer is born alive while memory decode is off",
    file: "sim/vfio.ts",
    text: `new SimDmaBuf(ranges, !this.enabled,`,
    instead: `new SimDmaBuf(ranges, false,`,
  },
  // ── revoking and restoring ────────────────────────────────────────────────────────────────────
  {
    what: "a reset leaves buffers revoked",
    file: "sim/vfio.ts",
    text: `if (this.isOpen && this.enabled) yield* this.#move(false);`,
    instead: ``,
  },
  {
    what: "a reset restores what is held",
    file: "sim/vfio.ts",
    text: `if (this.isOpen && this.enabled) yield* this.#move(false);`,
    instead: `yield* this.#move(false);`,
  },
  {
    what: "a reset does not revoke",
    file: "sim/vfio.ts",
    text: `    yield* this.#move(true);
    yield* this.#afterReset();`,
    instead: `    yield* this.#afterReset();`,
  },
  {
    what: "a reset leaves the device in D3hot",
    file: "sim/vfio.ts",
    text: `    this.#powerState = D0;
    if (this.isOpen && this.enabled) yield*`,
    instead: `    if (this.isOpen && this.enabled) yield*`,
  },
  {
    what: "a device without a reset is reset",
    file: "sim/vfio.ts",
    text: `if (!this.fn.resettable) throw refusal("VFIO_DEVICE_RESET"`,
    instead: `if (false) throw refusal("VFIO_DEVICE_RESET"`,
  },
  {
    what: "a reset while an unbind waits works",
    file: "sim/vfio.ts",
    text: `if (this.#unbinding) throw refusal("VFIO_DEVICE_RESET"`,
    instead: `if (false) throw refusal("VFIO_DEVICE_RESET"`,
  },
  {
    what: "a device that is being unbound is opened",
    file: "sim/vfio.ts",
    text: `if (this.#unbinding) throw refusal("VFIO_DEVICE_BIND_IOMMUFD"`,
    instead: `if (false) throw refusal("VFIO_DEVICE_BIND_IOMMUFD"`,
  },
  {
    what: "memory decode off does not revoke",
    file: "sim/vfio.ts",
    text: `if (!this.#decodes) yield* this.#move(true);`,
    instead: ``,
  },
  {
    what: "memory decode on does not restore",
    file: "sim/vfio.ts",
    text: `    if (!this.#decodes) yield* this.#move(true);
    if (this.enabled) yield* this.#move(false);`,
    instead: `    if (!this.#decodes) yield* this.#move(true);`,
  },
  {
    what: "any write of config space is one of the command register",
    file: "sim/vfio.ts",
    text: `if (at === PCI_COMMAND) return`,
    instead: `if (at === PCI_COMMAND || at === PCI_COMMAND + 1) return`,
  },
  {
    what: "a write across the command register's start misses it",
    file: "sim/config_space.ts",
    text: `const size = left >= 4 && place % 4 === 0 ? 4 : left >= 2 && place % 2 === 0 ? 2 : 1;`,
    instead: `const size = left;`,
  },
  {
    what: "memory decode off past VFIO revokes what is exported then",
    file: "sim/vfio.ts",
    text: `  writeCommandOutside(command: number): void {
    this.#command = command;`,
    instead: `  writeCommandOutside(command: number): void {
    this.#command = command;
    this.#decodes = (command & PCI_COMMAND_MEMORY) !== 0;`,
  },
  {
    what: "memory decode off past VFIO revokes",
    file: "sim/vfio.ts",
    text: `  writeCommandOutside(command: number): void {
    this.#command = command;`,
    instead: `  writeCommandOutside(command: number): void {
    this.#command = command;
    drive(this.#move(true));`,
  },
  {
    what: "D3hot does not revoke",
    file: "sim/vfio.ts",
    text: `if (state === D3HOT) yield* this.#move(true);`,
    instead: ``,
  },
  {
    what: "D1 ends D3hot",
    file: "sim/vfio.ts",
    text: `const there = state === D0 || state === D3HOT;`,
    instead: `const there = true;`,
  },
  {
    what: "a reset by sysfs leaves the device in D3hot",
    file: "sim/vfio.ts",
    text: `  resetOutside(): void {
    this.#powerState = D0;`,
    instead: `  resetOutside(): void {`,
  },
  {
    what: "a reset by sysfs revokes",
    file: "sim/vfio.ts",
    text: `  resetOutside(): void {
    this.#powerState = D0;`,
    instead: `  resetOutside(): void {
    this.bounce();`,
  },
  {
    what: "memory decode on restores in D3hot",
    file: "sim/vfio.ts",
    text: `    if (this.#powerState === D3HOT) return false;`,
    instead: ``,
  },
  {
    what: "low power does not revoke",
    file: "sim/vfio.ts",
    text: `  *#enterLowPower(): Steps {
    yield* this.#move(true);`,
    instead: `  *#enterLowPower(): Steps {`,
  },
  {
    what: "low power is entered twice",
    file: "sim/vfio.ts",
    text: `    if (this.#lowPower) {`,
    instead: `    if (false) {`,
  },
  {
    what: "low power is over when the device is reset",
    file: "sim/vfio.ts",
    text: `  *#afterReset(): Steps {`,
    instead: `  *#afterReset(): Steps {
    this.#lowPower = false;`,
  },
  {
    what: "low power's end restores with memory decode off",
    file: "sim/vfio.ts",
    text: `    this.#lowPower = false;
    if (this.enabled) yield* this.#move(false);`,
    instead: `    this.#lowPower = false;
    yield* this.#move(false);`,
  },
  {
    what: "a function level reset by config write does nothing",
    file: "sim/vfio.ts",
    text: `return (control & DEVCTL_FLR) !== 0;`,
    instead: `return false;`,
  },
  {
    what: "a virtual function has a memory bit of its own",
    file: "sim/vfio.ts",
    text: `return this.fn.virtual || this.#decodes;`,
    instead: `return this.#decodes;`,
  },
  {
    what: "a bounce ends a buffer for good",
    file: "sim/dma_buf.ts",
    text: `    else this.#moved(false);`,
    instead: ``,
  },
  {
    what: "a close is a hold: a new opening revives what was exported",
    file: "sim/dma_buf.ts",
    text: `    this.#dead = true;`,
    instead: `    queueMicrotask(() => this.#revoked = false);`,
  },
  {
    what: "an area comes back when the buffer is restored",
    file: "sim/address_space.ts",
    text: `pages.live && writeable`,
    instead: `!(pages.file as SimDmaBuf).revoked && writeable`,
  },
  {
    what: "a revoke leaves areas alive",
    file: "sim/address_space.ts",
    text: `    this.live = false;`,
    instead: ``,
  },
  // ── files and copies ──────────────────────────────────────────────────────────────────────────
  {
    what: "a copy of the device's descriptor does not keep it open",
    file: "sim/file_table.ts",
    text: `if (--file.references === 0) file.release();`,
    instead: `file.references--;
  if (file.kind === "vfio-device" || file.references === 0) file.release();`,
  },
  {
    what: "a dma-buf keeps its device open",
    file: "sim/vfio.ts",
    text: `if (--this.#opens > 0) return;`,
    instead: `if (--this.#opens > 0 || this.#buffers.size > 0) return;`,
  },
  {
    what: "any open file of the device keeps it open, bound or not",
    file: "sim/vfio.ts",
    text: `if (--this.#opens > 0) return;`,
    instead: `if (--this.#opens > 0 || this.#files > 1) return;`,
  },
  {
    what: "a second open by the group resets the command register",
    file: "sim/vfio.ts",
    text: `if (this.#opens++ > 0) return;`,
    instead: `this.#opens++;`,
  },
  {
    what: "an unbind does not wait",
    file: "sim/vfio.ts",
    text: `await new Promise<void>((resolve) => this.#waitingForFiles = resolve);`,
    instead: `for (const buffer of this.#buffers) buffer.die();`,
  },
  {
    what: "an unbind asks nobody",
    file: "sim/vfio.ts",
    text: `this.interrupts.get("request")?.signal();`,
    instead: `setTimeout(() => this.#waitingForFiles?.(), 1);`,
  },
  {
    what: "an unbind signals the error interrupt",
    file: "sim/vfio.ts",
    text: `this.interrupts.get("request")?.signal();`,
    instead: `for (const each of this.interrupts.values()) each.signal();`,
  },
  {
    what: "a dma-buf's name may have 32 bytes",
    file: "sim/dma_buf.ts",
    text: `const LONGEST_NAME = 31;`,
    instead: `const LONGEST_NAME = 32;`,
  },
  // ── routes ────────────────────────────────────────────────────────────────────────────────────
  {
    what: "the probe of a device that is not bound says present",
    file: "sim/lane.ts",
    text: `return bound ? this.kernel.feature : { state: "broken", errnoName: "EINVAL" };`,
    instead:
      `return bound || true ? this.kernel.feature : { state: "broken", errnoName: "EINVAL" };`,
  },
  {
    what: "a device that is open is bound again",
    file: "sim/lane.ts",
    text: `if (file.device.isOpen) throw refusal(call, "EINVAL", device.what);`,
    instead: ``,
  },
  {
    what: "a device is bound while its group is open",
    file: "sim/lane.ts",
    text: `if (group?.isOpen) throw refusal(call, "EBUSY", device.what);`,
    instead: ``,
  },
  {
    what: "two iommufds own functions of one group",
    file: "sim/lane.ts",
    text: `if (taken) throw refusal(call, "EPERM", device.what);`,
    instead: ``,
  },
  {
    what: "a group opens twice",
    file: "sim/group.ts",
    text: `const busy = this.isOpen || this.devices`,
    instead: `const busy = this.devices`,
  },
  {
    what: "a group opens while its device is bound",
    file: "sim/group.ts",
    text: `const busy = this.isOpen || this.devices.some(({ owner }) => owner !== undefined);`,
    instead: `const busy = this.isOpen;`,
  },
  {
    what: "a container opens devices without an IOMMU",
    file: "sim/group.ts",
    text: `container instanceof SimIommufd || container?.hasIommu === true;`,
    instead: `container !== undefined;`,
  },
  {
    what: "with an iommufd too, a device keeps its group open",
    file: "sim/group.ts",
    text: `this.container instanceof SimContainer ? take(this) : undefined;`,
    instead: `take(this);`,
  },
  {
    what: "with a container too, a device does not keep its group open",
    file: "sim/group.ts",
    text: `this.container instanceof SimContainer ? take(this) : undefined;`,
    instead: `undefined as SimGroupFile | undefined;`,
  },
  {
    what: "a hot reset needs no ownership",
    file: "sim/lane.ts",
    text: `if (!owned) throw refusal(call, "EINVAL", device.what);`,
    instead: ``,
  },
  {
    what: "a hot reset hits only the function that it is asked of",
    file: "sim/lane.ts",
    text: `return SimVfioDevice.hotReset(domain.flatMap(({ device: it }) => it ?? []));`,
    instead: `return SimVfioDevice.hotReset([vfio]);`,
  },
  // ── importers that do not let go ──────────────────────────────────────────────────────────────
  {
    what: "a revoke waits for nobody",
    file: "sim/dma_buf.ts",
    text: `    yield* all(this.#holds);
    if (revoked) yield* all(lingering);
    else`,
    instead: `    if (!revoked)`,
  },
  {
    what: "a restore waits for nobody",
    file: "sim/dma_buf.ts",
    text: `    yield* all(this.#holds);`,
    instead: `    if (revoked) yield* all(this.#holds);`,
  },
  {
    what: "importers of what is alive are told to unmap by a restore",
    file: "sim/dma_buf.ts",
    text: `    if (revoked === this.#revoked) return;
`,
    instead: ``,
  },
  {
    what: "a buffer that somebody holds is revoked when they let go",
    file: "sim/dma_buf.ts",
    text: `    if (revoked) this.#moved(true);
`,
    instead: `    if (revoked) yield* all(this.#holds);
    if (revoked) this.#moved(true);
`,
  },
  {
    what: "an importer that lets go late keeps no revoke waiting",
    file: "sim/importer.ts",
    text: `if (this.#mapped && !this.#kind.letsGo)`,
    instead: `if (false)`,
  },
  {
    what: "a one-shot importer comes back",
    file: "sim/importer.ts",
    text: `const again = this.#kind.comesBack &&`,
    instead: `const again =`,
  },
  {
    what: "a resumable importer comes back to what is revoked",
    file: "sim/importer.ts",
    text: `!this.#left && !this.buffer.revoked;`,
    instead: `!this.#left;`,
  },
  {
    what: "an importer without an invalidate callback is refused before it is seen to be revoked",
    file: "sim/importer.ts",
    text: `if (!this.#kind.dynamic) throw`,
    instead: `if (!this.#kind.dynamic || !this.#kind.invalidates) throw`,
  },
  {
    what: "a static importer is told that the buffer is revoked",
    file: "sim/importer.ts",
    text: `    if (!this.#kind.dynamic) throw refusal("dma_buf_attach", "EOPNOTSUPP", driver);
    if (buffer.revoked) throw refusal("dma_buf_attach", "ENODEV", driver);`,
    instead: `    if (buffer.revoked) throw refusal("dma_buf_attach", "ENODEV", driver);
    if (!this.#kind.dynamic) throw refusal("dma_buf_attach", "EOPNOTSUPP", driver);`,
  },
  {
    what: "all buffers are revoked before the first is waited for",
    file: "sim/vfio.ts",
    text: `for (const buffer of this.#buffers) yield* buffer.move(revoked);`,
    instead: `const all = [...this.#buffers].map((it) => it.move(revoked));
    for (const { steps, first } of all.map((steps) => ({ steps, first: steps.next() }))) {
      if (first.done !== true) yield first.value;
      yield* steps;
    }`,
  },
  {
    what: "an export waits for no revoke",
    file: "sim/vfio.ts",
    text: `return this.#lock.do(() => this.#make(region, ranges));`,
    instead: `return this.#make(region, ranges);`,
  },
  {
    what: "a BAR is read during a revoke",
    file: "sim/vfio.ts",
    text: `return this.#lock.do(() => this.#readBar(region, offset, length));`,
    instead: `return this.#readBar(region, offset, length);`,
  },
  {
    what: "config space is read only when no revoke waits",
    file: "sim/vfio.ts",
    text: `if (region === CONFIG_REGION) return this.readConfig(offset, length);`,
    instead:
      `if (region === CONFIG_REGION) return this.#lock.do(() => this.readConfig(offset, length));`,
  },
  {
    what: "a hot reset waits for a reset that waits",
    file: "sim/vfio.ts",
    text: `if (busy !== undefined) throw`,
    instead: `if (false) throw`,
  },
  {
    what: "a device whose close waits is opened",
    file: "sim/lane.ts",
    text: `return device?.closing === undefined ? work() : device.closing.then(work);`,
    instead: `return work();`,
  },
  // ── iommufd ───────────────────────────────────────────────────────────────────────────────────
  {
    what: "a bound device does not keep its iommufd",
    file: "sim/vfio.ts",
    text: `    this.owner = take(owner);
    this.#id`,
    instead: `    this.owner = owner;
    this.#id`,
  },
  {
    what: "a buffer of several ranges is imported",
    file: "sim/iommufd.ts",
    text: `if (buffer.ranges.length !== 1)`,
    instead: `if (buffer.ranges.length === 0)`,
  },
  {
    what: "a revoked buffer is imported",
    file: "sim/iommufd.ts",
    text: `if (buffer.revoked) throw`,
    instead: `if (buffer.dead) throw`,
  },
  {
    what: "that a buffer is revoked is said before that it is too short",
    file: "sim/iommufd.ts",
    text: `  if (end > buffer.size) throw refusal(MAP_FILE, "EINVAL", "dma-buf");
  if (buffer.revoked) throw refusal(MAP_FILE, "ENODEV", "dma-buf");`,
    instead: `  if (buffer.revoked) throw refusal(MAP_FILE, "ENODEV", "dma-buf");
  if (end > buffer.size) throw refusal(MAP_FILE, "EINVAL", "dma-buf");`,
  },
  {
    what: "a mapping is no reference to the buffer",
    file: "sim/address_space.ts",
    text: `    take(file);
    if`,
    instead: `    if`,
  },
  {
    what: "a copy in an address space is an import of its own",
    file: "sim/address_space.ts",
    text: `pages: pages.share(), start, writeable: write`,
    instead: `pages: take(pages.file) && pages.share(), start, writeable: write`,
  },
  {
    what: "what is mapped for reading is copied for writing",
    file: "sim/address_space.ts",
    text: `if (write && !piece.pages.writeable) throw refusal(call, "EPERM", "ioas");`,
    instead: ``,
  },
  {
    what: "what is mapped for reading is written",
    file: "sim/address_space.ts",
    text: `pages.live && writeable && first`,
    instead: `(pages.live && (writeable || true)) && first`,
  },
  {
    what: "an unmap splits areas",
    file: "sim/address_space.ts",
    text: `if (split) throw refusal(call, "ENOENT", "ioas");`,
    instead: ``,
  },
  {
    what: "an unmap of nothing works",
    file: "sim/address_space.ts",
    text: `if (unmapped === 0n) throw refusal(call, "ENOENT", "ioas");`,
    instead: ``,
  },
  {
    what: "a mapping takes the place of another",
    file: "sim/address_space.ts",
    text:
      `if (this.#areas.some((area) => overlaps(area, wanted))) throw refusal(call, "EEXIST", "ioas");`,
    instead: ``,
  },
  {
    what: "a device's address space takes any IOVA",
    file: "sim/address_space.ts",
    text: `return this.pageTable === undefined ? [] : RESERVED;`,
    instead: `return [];`,
  },
  {
    what: "an address space with a device is destroyed",
    file: "sim/iommufd.ts",
    text: `|| object.pageTable !== undefined;`,
    instead: `;`,
  },
  {
    what: "ids are not used again",
    file: "sim/iommufd.ts",
    text: `while (this.#objects.has(id)) id++;`,
    instead: `id = 1 + Math.max(0, ...this.#objects.keys());`,
  },
];
