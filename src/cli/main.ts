#!/usr/bin/env node
import './signals.ts'

// Not static imports: those are loaded before anything here runs.
const { takeProfile } = await import('./profile.ts')
await takeProfile()
await import('./web_assembly.ts')
await import('./command.ts')
