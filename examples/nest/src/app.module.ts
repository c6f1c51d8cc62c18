// The whole application: its routes, the log of its requests, and what it says when it leaves.
import { MiddlewareConsumer, Module, NestModule } from '@nestjs/common';

import { AppController } from './app.controller';
import { Lifecycle } from './lifecycle';
import { RequestLog } from './request-log';

@Module({ controllers: [AppController], providers: [Lifecycle] })
export class AppModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestLog).forRoutes('{*path}');
  }
}
