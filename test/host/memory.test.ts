import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { hostFiles } from '../../src/host/files.ts'
import { collect, findContainerMemory, Memory } from '../../src/host/memory.ts'

const MIB = 2 ** 20

describe('memory in use', () => {
  it('is all that is resident at its peak, and below it what was not given back, which an allocator keeps resident', () => {
    let resident = 0
    const memory = new Memory(Infinity, () => resident)
    const managed = (): number => process.memoryUsage().heapTotal + process.memoryUsage().external
    let buffer: Buffer | undefined = Buffer.alloc(64 * MIB)
    resident = managed() + 100 * MIB
    expect(Math.abs(memory.look().used - resident)).toBeLessThan(MIB)
    expect(buffer).toHaveLength(64 * MIB)
    buffer = undefined
    collect('urgent')
    const left = memory.look().used
    expect(left).toBeLessThan(resident - 60 * MIB)
    expect(left).toBeGreaterThan(100 * MIB)
    // What grows beside the heap and its buffers is seen when more is resident than before.
    resident += 50 * MIB
    expect(Math.abs(memory.look().used - resident)).toBeLessThan(MIB)
  })

  it.each([
    ['container_version_1', 200 * MIB, 80 * MIB],
    ['container_version_2', 256 * MIB, 50 * MIB],
  ])('is that of the control group without pages of files: %s', (name, total, resident) => {
    const own = hostFiles(fileURLToPath(new URL(`../cases/host_metrics/${name}/0/own`, import.meta.url)))
    const memory = findContainerMemory(own)
    expect(memory?.total).toBe(total)
    expect(memory?.resident()).toBe(resident)
  })
})
