import type { HostFiles } from './files.ts'

/** The description of a processor; fields that the system does not report are missing. */
export interface Cpu {
  readonly vendor?: string
  readonly family?: string
  readonly model?: string
  readonly name?: string
  readonly stepping?: string
  /** Bytes. */
  readonly l2?: number
}

/** The designer of an ARM processor. Source: Arm Architecture Reference Manual, MIDR_EL1; names as in util-linux, lscpu-arm.c. */
const ARM_IMPLEMENTERS: Readonly<Record<string, string | undefined>> = {
  '0x41': 'ARM',
  '0x42': 'Broadcom',
  '0x43': 'Cavium',
  '0x46': 'FUJITSU',
  '0x48': 'HiSilicon',
  '0x4e': 'NVIDIA',
  '0x50': 'APM',
  '0x51': 'Qualcomm',
  '0x53': 'Samsung',
  '0x56': 'Marvell',
  '0x61': 'Apple',
  '0x6d': 'Microsoft',
  '0x70': 'Phytium',
  '0xc0': 'Ampere',
}

/** ARM's own processors that run Node.js, by part number, because Linux does not name them. Source: arch/arm64/include/asm/cputype.h. */
const ARM_PARTS: Readonly<Record<string, string | undefined>> = {
  '0xc07': 'Cortex-A7',
  '0xc0f': 'Cortex-A15',
  '0xd03': 'Cortex-A53',
  '0xd05': 'Cortex-A55',
  '0xd07': 'Cortex-A57',
  '0xd08': 'Cortex-A72',
  '0xd09': 'Cortex-A73',
  '0xd0b': 'Cortex-A76',
  '0xd0c': 'Neoverse-N1',
  '0xd40': 'Neoverse-V1',
  '0xd49': 'Neoverse-N2',
  '0xd4a': 'Neoverse-E1',
  '0xd4f': 'Neoverse-V2',
  '0xd84': 'Neoverse-V3',
  '0xd8e': 'Neoverse-N3',
}

/** The first processor of a Linux host. @throws the error of `fs` if it cannot be read */
export function readCpu(root: HostFiles): Cpu {
  return { ...readCpuinfo(root.text('proc/cpuinfo')), l2: readCacheSize(root, 2) }
}

/** Every architecture has its own keys in this file. Source: the kernel's arch/x86/kernel/cpu/proc.c, arch/arm64/kernel/cpuinfo.c. */
function readCpuinfo(text: string): Cpu {
  const [first] = text.split('\n\n')
  const value = (key: string): string | undefined => {
    const found = new RegExp(`^${key}[ \\t]*: *(.*)$`, 'm').exec(first)?.[1].trim()
    return found === 'unknown' ? undefined : found
  }
  const implementer = value('CPU implementer')
  if (implementer === undefined) {
    return {
      vendor: value('vendor_id'),
      family: value('cpu family'),
      model: value('model'),
      // The second is the name on POWER.
      name: value('model name') ?? value('cpu'),
      stepping: value('stepping') ?? value('revision'),
    }
  }
  const [part, variant, revision] = ['CPU part', 'CPU variant', 'CPU revision'].map(value)
  return {
    vendor: ARM_IMPLEMENTERS[implementer] ?? implementer,
    family: value('CPU architecture'),
    model: part,
    // "ARMv8 Processor rev 1 (v8l)", which a 32-bit process reads there, is the architecture's name.
    name: implementer === '0x41' ? ARM_PARTS[String(part)] : value('model name'),
    // As ARM writes it: r3p1.
    stepping: variant && revision && `r${Number(variant)}p${revision}`,
  }
}

/** Bytes of the cache of this level that the first CPU uses. Source: the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu. */
function readCacheSize(root: HostFiles, level: number): number | undefined {
  for (let index = 0; ; index++) {
    const folder = `sys/devices/system/cpu/cpu0/cache/index${index}`
    const found = root.optionalText(`${folder}/level`)
    if (found === undefined) return undefined
    if (Number(found) !== level) continue
    const kibibytes = /^(\d+)K$/.exec(root.optionalText(`${folder}/size`)?.trim() ?? '')?.[1]
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
  }
}
