import { link, mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { FolderLock, InUseError, isHeld } from '../../../src/pipeline/queue/lock.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { startProcess, temporaryFolder } from '../../kit/command.ts'

async function folder(): Promise<string> {
  const made = await temporaryFolder({})
  return made.path('')
}

async function acquire(path: string): Promise<FolderLock> {
  const lock = await FolderLock.acquire(path)
  cleanups.push(() => lock.release())
  return lock
}

describe('the lock of a folder', () => {
  it('is held by one at a time and can be had again', async () => {
    const path = await folder()
    expect(await isHeld(path)).toBe(false)
    const lock = await acquire(path)
    expect(await isHeld(path)).toBe(true)
    await expect(FolderLock.acquire(path)).rejects.toThrow(
      new InUseError(`is used by another process (process ${process.pid})`),
    )
    await lock.release()
    expect(await readdir(path)).toEqual([])
    await acquire(path)
  })

  it('is had by exactly one of many that come at once, also where a dead process left it', async () => {
    const path = await folder()
    const script = `require('node:net').createServer().listen(${JSON.stringify(`${path}/own`)}, () => {
      require('node:fs').linkSync(${JSON.stringify(`${path}/own`)}, ${JSON.stringify(`${path}/lock`)})
      process.kill(process.pid, 'SIGKILL')
    })`
    expect(await startProcess(process.execPath, ['-e', script]).ended).toBe('SIGKILL')
    expect(await readdir(path)).toContain('lock')
    const results = await Promise.allSettled(Array.from({ length: 2 }, () => acquire(path)))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await isHeld(path)).toBe(true)
  })

  it('is taken over from something that is no lock', async () => {
    const path = await folder()
    await writeFile(`${path}/lock`, '1')
    await acquire(path)
  })

  it('knows a holder that is too busy to answer', async () => {
    const path = await folder()
    const silent = createServer(() => undefined)
    await new Promise<void>((resolve) => silent.listen(`${path}/own`, resolve))
    cleanups.push(() => silent.close())
    await link(`${path}/own`, `${path}/lock`)
    await expect(FolderLock.acquire(path)).rejects.toThrow('is used by another process')
  })

  it('works in a folder with a long name', async () => {
    const path = `${await folder()}/${'long'.repeat(40)}`
    await mkdir(path)
    await acquire(path)
    await expect(FolderLock.acquire(path)).rejects.toThrow(InUseError)
  })
})
