import { describe, expect, it } from '@jest/globals'
import { bufferTime, debounceTime, interval, Subject, timer } from 'rxjs'
import { VirtualClock } from '../../src/time/virtual_clock.ts'

describe('the virtual clock', () => {
  it('stands still until it is moved', async () => {
    const clock = new VirtualClock(1000)
    await new Promise((resolve) => setImmediate(resolve))
    expect([clock.now(), clock.monotonic()]).toEqual([1000, 0])
    await clock.advance(50)
    expect([clock.now(), clock.monotonic(), clock.timeOrigin]).toEqual([1050, 50, 1000])
  })

  it('fires timers at their times, and those of one time in the order in which they were set', async () => {
    const clock = new VirtualClock(0)
    const fired: string[] = []
    const note = (name: string) => () => void fired.push(`${name} at ${clock.now()}`)
    clock.setTimeout(note('b'), 20)
    clock.setTimeout(note('a'), 10)
    clock.setTimeout(note('c'), 20)
    const stopped = clock.setTimeout(note('never'), 15)
    clock.clearTimeout(stopped)
    expect(clock.untilNext).toBe(10)
    await clock.advance(19)
    expect(fired).toEqual(['a at 10'])
    await clock.advance(3_600_000)
    expect(fired).toEqual(['a at 10', 'b at 20', 'c at 20'])
    expect(clock.untilNext).toBeUndefined()
  })

  it('repeats an interval until it is stopped', async () => {
    const clock = new VirtualClock(0)
    const fired: number[] = []
    const repeated = clock.setInterval(() => fired.push(clock.now()), 10)
    await clock.advance(35)
    clock.clearTimeout(repeated)
    await clock.advance(100)
    expect(fired).toEqual([10, 20, 30])
  })

  it('lets what waits for a timer go on before it moves on to the next', async () => {
    const clock = new VirtualClock(0)
    const slept: number[] = []
    const sleeping = (async () => {
      for (let times = 0; times < 3; times++) {
        await clock.sleep(10)
        slept.push(clock.now())
      }
    })()
    await clock.advance(30)
    await sleeping
    expect(slept).toEqual([10, 20, 30])
  })

  it('ends a sleep when its signal aborts', async () => {
    const clock = new VirtualClock()
    const controller = new AbortController()
    const sleeping = clock.sleep(1000, controller.signal)
    controller.abort(new Error('enough'))
    await expect(sleeping).rejects.toThrow('enough')
    await expect(clock.sleep(1000, controller.signal)).rejects.toThrow('enough')
    expect(clock.untilNext).toBeUndefined()
  })

  it('steps as a machine whose clock is set does, which no timer notices', async () => {
    const clock = new VirtualClock(0)
    const fired: number[] = []
    clock.setTimeout(() => fired.push(clock.monotonic()), 10)
    clock.set(3_600_000)
    await clock.advance(10)
    expect(fired).toEqual([10])
    expect(clock.now()).toBe(3_600_010)
  })

  it('moves the operators of RxJS', async () => {
    const clock = new VirtualClock(0)
    const { scheduler } = clock
    const seen: unknown[] = []
    const ticking = interval(100, scheduler).subscribe((value) => seen.push(['tick', value, clock.now()]))
    const source = new Subject<string>()
    source.pipe(debounceTime(30, scheduler)).subscribe((value) => seen.push([value, clock.now()]))
    source.pipe(bufferTime(150, undefined, 10, scheduler)).subscribe((value) => seen.push([value, clock.now()]))
    timer(0, 120, scheduler).subscribe((value) => seen.push(['timer', value, clock.now()]))
    source.next('a')
    await clock.advance(10)
    source.next('b')
    await clock.advance(190)
    ticking.unsubscribe()
    await clock.advance(45)
    expect(seen).toEqual([
      ['timer', 0, 1],
      ['b', 40],
      ['tick', 0, 100],
      ['timer', 1, 121],
      [['a', 'b'], 150],
      ['tick', 1, 200],
      ['timer', 2, 241],
    ])
  })
})
