// The routes: one that answers, one that takes its time, one that brings the process down.
import { setTimeout as sleep } from 'node:timers/promises';

import { Controller, Get, HttpCode } from '@nestjs/common';

@Controller()
export class AppController {
  @Get()
  hello(): string {
    return `hello from ${process.pid}\n`;
  }

  /** Answers after three seconds: stop the container meanwhile, and the answer still comes. */
  @Get('slow')
  async slow(): Promise<string> {
    await sleep(3000);
    return 'slow, but whole\n';
  }

  /**
   * An error outside of any request, as a forgotten promise or a broken socket throws it: Nest
   * cannot turn it into a 500, and Node ends the process with code 1.
   */
  @Get('crash')
  @HttpCode(202)
  crash(): string {
    setTimeout(() => {
      throw new Error('crashed on request');
    }, 50);
    return 'crashing\n';
  }
}
