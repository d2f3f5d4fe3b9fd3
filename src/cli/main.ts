#!/usr/bin/env node
import './signals.ts'
import { takeProfile } from './profile.ts'

await takeProfile()
// Not a static import: those are loaded before any code here runs.
await import('./command.ts')
