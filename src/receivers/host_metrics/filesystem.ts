import { stat, statfs } from 'node:fs/promises'
import type { BigIntStatsFs } from 'node:fs'
import { MalformedField } from '../../host/numbers.ts'
import { inTime } from '../../time/in_time.ts'
import { forEachLine, unescapePath } from './proc_text.ts'
import type { Root } from './root.ts'
import { defineScraper, gauge, upDownCounter } from './scraper.ts'
import type { Scrape } from './scraper.ts'
import { selectionSettings, selector } from './selection.ts'

/** How long a mount may take to answer, in milliseconds. A working one takes microseconds. */
const MOUNT_TIMEOUT = 1000

/** An unanswered call holds one of the four threads of Node.js; names are resolved and files are read on the others. */
const MAX_UNANSWERED = 2

/** Types that depend on another machine, which may not answer. `autofs` mounts one when it is read. */
const NETWORK_TYPES =
  /^(nfs4?|cifs|smb[23]?|smbfs|ncpfs|afs|coda|9p|ceph|glusterfs|lustre|gpfs|beegfs|orangefs|davfs2?|webdav|autofs|fuse\.(sshfs|glusterfs|cephfs|ceph-fuse|s3fs|rclone|gcsfuse|davfs2?|curlftpfs|smbnetfs|juicefs|mfs.*))$/i
/** `host:/folder` and `//host/share`. */
const NETWORK_DEVICES = /^([^/]+:\/|\/\/)/

/** The statfs numbers of the types whose files may have other device numbers than their mount. Source: `<linux/magic.h>`. */
const BTRFS = 0x9123683en
const OVERLAY = 0x794c7630n

interface Mount {
  readonly device: string
  /** `major:minor`. */
  readonly number: string
  readonly mountpoint: string
  readonly type: string
  /** `rw`, `ro` or `unknown`. */
  readonly mode: string
}

const metrics = {
  'system.filesystem.usage': {
    ...upDownCounter,
    doc: 'Bytes of the file system in each state; `reserved` is for the administrator only.',
    unit: 'By',
    attributes: ['device', 'mode', 'mountpoint', 'type', 'state'],
  },
  'system.filesystem.inodes.usage': {
    ...upDownCounter,
    doc: 'Inodes of the file system in each state.',
    unit: '{inodes}',
    attributes: ['device', 'mode', 'mountpoint', 'type', 'state'],
    on: 'linux',
  },
  'system.filesystem.utilization': {
    ...gauge,
    doc: 'Fraction in use of the space that is not reserved, from 0 to 1.',
    unit: '1',
    attributes: ['device', 'mode', 'mountpoint', 'type'],
  },
} as const

export const filesystem = defineScraper({
  doc: 'Space and inodes of the mounted file systems.',
  metrics,
  overlapping: { attribute: 'mountpoint', reason: 'a file system may be mounted at several places' },
  settings: {
    include_virtual_filesystems: {
      doc: 'Whether file systems without a block device, such as `tmpfs` and `overlay`, are collected.',
      format: 'boolean',
      default: false,
    },
    include_devices: selectionSettings('devices', 'The only devices to collect, such as `/dev/sda1`; all when empty.'),
    exclude_devices: selectionSettings('devices', 'Devices to leave out.'),
    include_fs_types: selectionSettings(
      'fs_types',
      'The only types to collect, such as `ext4`. When empty, all except network file systems: these are only read if their type is named here and `include_virtual_filesystems` is on.',
    ),
    exclude_fs_types: selectionSettings('fs_types', 'Types to leave out.'),
    include_mount_points: selectionSettings('mount_points', 'The only mount points to collect; all when empty.'),
    exclude_mount_points: selectionSettings('mount_points', 'Mount points to leave out.'),
  },
  linux(config, root, _own, clock) {
    const selected = mountSelector(config)
    const unanswered = new Set<string>()
    return async (scrape) => {
      for (const mount of readMounts(scrape, root, config)) {
        const { mountpoint } = mount
        if (!selected(mount) || unanswered.has(mountpoint)) continue
        if (unanswered.size >= MAX_UNANSWERED) {
          scrape.fail(`${MAX_UNANSWERED} mounts do not answer; the others are not asked meanwhile.`, mountpoint)
          continue
        }
        try {
          unanswered.add(mountpoint)
          const answer = ask(mount, root.resolve(mountpoint.slice(1))).finally(() => unanswered.delete(mountpoint))
          record(
            scrape,
            mount,
            await inTime(clock, answer, MOUNT_TIMEOUT, `${mountpoint} does not answer; it is asked again when it has.`),
          )
        } catch (error) {
          scrape.fail((error as Error).message)
        }
      }
    }
  },
  portable(config, { information }) {
    const selected = mountSelector(config)
    return async (scrape) => {
      for (const { fs, type, mount, rw, used, available } of await information.fsSize()) {
        const mode = rw === null ? 'unknown' : rw ? 'rw' : 'ro'
        const attributes = { device: fs, mode, mountpoint: mount, type }
        if (!selected(attributes)) continue
        scrape.record('system.filesystem.usage', used, { ...attributes, state: 'used' })
        scrape.record('system.filesystem.usage', available, { ...attributes, state: 'free' })
        scrape.record('system.filesystem.utilization', used / (used + available), attributes)
      }
    }
  },
})

type FilesystemConfig = Parameters<typeof filesystem.linux>[0]

function mountSelector(config: FilesystemConfig): (mount: Pick<Mount, 'device' | 'type' | 'mountpoint'>) => boolean {
  const device = selector('devices', config.include_devices, config.exclude_devices)
  const type = selector('fs_types', config.include_fs_types, config.exclude_fs_types)
  const mountpoint = selector('mount_points', config.include_mount_points, config.exclude_mount_points)
  const network = config.include_fs_types.fs_types.length > 0
  return (mount) =>
    device(mount.device) &&
    type(mount.type) &&
    mountpoint(mount.mountpoint) &&
    (network || !(NETWORK_TYPES.test(mount.type) || NETWORK_DEVICES.test(mount.device)))
}

/** The mounts of the host. Where one was mounted over another, only the upper one can be asked. */
function readMounts(
  scrape: Scrape<typeof metrics>,
  root: Root,
  { include_virtual_filesystems }: Pick<FilesystemConfig, 'include_virtual_filesystems'>,
): Iterable<Mount> {
  const mounts = new Map<string, Mount>()
  // A type with a block device has no `nodev` in front. A ZFS pool has devices, too, but the kernel does not know them.
  const physical = new Set(['zfs', ...(root.text('proc/filesystems').match(/(?<=^\t).+$/gm) ?? [])])
  forEachLine(scrape, '/proc/1/mountinfo', root.textOfInit('mountinfo'), (fields) => {
    // 36 35 98:0 /root /mountpoint rw,noatime master:1 ... - ext3 /dev/device rw. Source: proc_pid_mountinfo(5).
    const separator = fields.indexOf('-', 6)
    const [type, device] = fields.slice(separator + 1)
    if (separator === -1 || device === undefined) throw new MalformedField('the type and device are missing')
    const mountpoint = unescapePath(fields[4])
    mounts.delete(mountpoint)
    if (!include_virtual_filesystems && (!physical.has(type) || device === 'none')) return
    mounts.set(mountpoint, {
      number: fields[2],
      // The name of the first root file system is not useful; its number leads to the device's name.
      device:
        device === '/dev/root' ? `/dev/${root.linkName(`sys/dev/block/${fields[2]}`) ?? 'root'}` : unescapePath(device),
      mountpoint,
      type,
      mode: /^(rw|ro)(,|$)/.exec(fields[5])?.[1] ?? 'unknown',
    })
  })
  return mounts.values()
}

/**
 * The size and use of a mount. Its path may lead elsewhere: to a file system that was mounted over it or, in another
 * mount namespace than that of the list, to the folder that it is mounted on there.
 * @throws if the path leads to another file system
 */
async function ask({ mountpoint, number, type }: Mount, path: string): Promise<BigIntStatsFs> {
  const stats = await statfs(path, { bigint: true })
  const found = await stat(path, { bigint: true })
  // Source: makedev(3).
  const major = ((found.dev >> 8n) & 0xfffn) | ((found.dev >> 32n) & ~0xfffn)
  const minor = (found.dev & 0xffn) | ((found.dev >> 12n) & 0xffffff00n)
  // A subvolume of btrfs has a number of its own, and so may a file of overlay. Source: the kernel's `Documentation/filesystems/overlayfs.rst`.
  const mayDiffer =
    (type === 'btrfs' && stats.type === BTRFS) || (type === 'overlay' && stats.type === OVERLAY && !found.isDirectory())
  if (`${major}:${minor}` !== number && !mayDiffer) {
    throw new Error(
      `${path} leads to another file system (${major}:${minor}) than the mount ${mountpoint} (${number}), which is hidden by a later mount or not visible to this process: mount the host's file system with rslave propagation, or leave ${mountpoint} out with exclude_mount_points.`,
    )
  }
  return stats
}

function record(scrape: Scrape<typeof metrics>, mount: Mount, stats: BigIntStatsFs): void {
  const { device, mode, mountpoint, type } = mount
  const attributes = { device, mode, mountpoint, type }
  // Unsigned numbers of 64 bits, which Node.js hands over as signed ones.
  const [blocks, bfree, files, ffree] = [stats.blocks, stats.bfree, stats.files, stats.ffree].map((count) =>
    BigInt.asUintN(64, count),
  )
  // Less than 0 if reserved space is in use, too. Source: gnulib, lib/fsusage.c.
  const bavail = max0(BigInt.asIntN(64, stats.bavail))
  const used = max0(blocks - bfree) * stats.bsize
  const free = bavail * stats.bsize
  const reserved = max0(bfree - bavail) * stats.bsize
  for (const [state, bytes] of Object.entries({ used, free, reserved })) {
    scrape.record('system.filesystem.usage', bytes, { ...attributes, state })
  }
  for (const [state, count] of Object.entries({ used: max0(files - ffree), free: ffree })) {
    scrape.record('system.filesystem.inodes.usage', count, { ...attributes, state })
  }
  scrape.record('system.filesystem.utilization', Number(used) / Number(used + free), attributes)
}

function max0(count: bigint): bigint {
  return count < 0n ? 0n : count
}
