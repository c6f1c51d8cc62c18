// Says in the log when draining begins and when it is done.
import { BeforeApplicationShutdown, Injectable, Logger, OnApplicationShutdown } from '@nestjs/common';

@Injectable()
export class Lifecycle implements BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly logger = new Logger('Lifecycle');

  beforeApplicationShutdown(signal?: string): void {
    this.logger.log(`draining on ${signal}`);
  }

  onApplicationShutdown(): void {
    this.logger.log('drained');
  }
}
