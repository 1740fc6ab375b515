/**
 * What else of a host is read with some of its functions: what is reset together with them, what is in
 * their IOMMU groups, and by which function the kernel knows their host bridge. Each list is asked for
 * once, however many functions are in it.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import type { FieldReader } from "./field_reader.ts";
import { PCI_DEVICES, virtualFunctions } from "./read_function.ts";
import type { SnapshotFunction } from "./snapshot.ts";

/** Finds what is beside functions. */
export class Beside {
  /** Lists that were given. */
  readonly #given = new Set<string>();

  /** @param host where to read; takes what cannot be read */
  constructor(private readonly host: FieldReader) {}

  /**
   * Functions of the same bus, unless it is a root bus, of the same physical function, and of the same
   * IOMMU group, which VFIO can own only as a whole.
   *
   * @param entry a function
   * @returns addresses, that of the function among them or not; not those of a list that was given
   */
  of({ address, parent, physfn, iommuGroup }: SnapshotFunction): readonly string[] {
    const { host } = this;
    const physical = physfn ?? address;
    return [
      ...isPciAddress(parent) ? this.#once(parent, () => this.#in(`${PCI_DEVICES}/${parent}`)) : [],
      ...this.#once(`VFs of ${physical}`, () => {
        return virtualFunctions(host.files, physical, host.findings);
      }),
      ...iommuGroup === undefined ? [] : this.#once(`group ${iommuGroup}`, () => {
        return this.#in(`${PCI_DEVICES}/${address}/iommu_group/devices`);
      }),
    ];
  }

  /**
   * The first function on a root bus.
   *
   * @param entry a function on it
   * @returns its address; none if it was given
   */
  firstOnRoot({ address, parent }: SnapshotFunction): readonly string[] {
    return this.#once(`first on ${parent}`, () => {
      const path = this.host.realPath(`${PCI_DEVICES}/${address}`) ?? "";
      return this.#in(path.slice(0, path.lastIndexOf("/"))).toSorted().slice(0, 1);
    });
  }

  #in(folder: string): readonly string[] {
    return this.host.names(folder).filter(isPciAddress);
  }

  #once(list: string, make: () => readonly string[]): readonly string[] {
    if (this.#given.has(list)) return [];
    const made = make();
    // By way of a function that has gone meanwhile nothing is found, and by the next it may be.
    if (made.length > 0) this.#given.add(list);
    return made;
  }
}
