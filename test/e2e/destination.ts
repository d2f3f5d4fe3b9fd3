import { cleanups } from '../kit/cleanups.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

/** An OTLP destination that asks for no key, until the end of the test. */
export async function startDestination(): Promise<Intake> {
  const intake = await startIntake({ keyHeader: '' })
  cleanups.push(() => intake.close())
  return intake
}
