"""The other side of the benchmark: the same steps in Python with boto3, by the same runtime API. No part of Mayfly."""

import http.client
import json
import os
import sys

import boto3


def create_queue():
    sqs = boto3.client("sqs")

    def handle(event):
        plan = event["plan"]
        attributes = {"MessageRetentionPeriod": "1209600"}
        made = sqs.create_queue(QueueName=plan["mailboxName"], Attributes=attributes, tags=plan["tags"])
        return {"queueUrl": made["QueueUrl"]}

    return handle


def dispatch_job():
    dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
    table = os.environ["JOBS_TABLE"]

    def handle(event):
        plan = event["plan"]
        dynamodb.get_item(TableName=table, Key={"job": {"S": plan["job"]}}, ConsistentRead=True)
        item = {"job": plan["job"], "token": event["taskToken"], "mailbox": plan["mailboxUrl"]}
        item |= {"turn": json.dumps(event["turn"]), "task": json.dumps(plan["task"])}
        dynamodb.put_item(TableName=table, Item={name: {"S": value} for name, value in item.items()})
        order = {"job": plan["job"], "turn": event["turn"], "command": plan["task"]["command"]}
        sqs.send_message(QueueUrl=plan["mailboxUrl"], MessageBody=json.dumps(order))
        return {}

    return handle


def register_task():
    ecs = boto3.client("ecs")

    def handle(event):
        plan = event["plan"]
        ecs.list_task_definitions(familyPrefix=plan["family"], status="ACTIVE")
        made = ecs.register_task_definition(
            family=plan["family"],
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu=str(plan["container"]["cpu"]),
            memory=str(plan["container"]["memoryMiB"]),
            taskRoleArn=os.environ["TASK_ROLE_ARN"],
            executionRoleArn=os.environ["EXECUTION_ROLE_ARN"],
            containerDefinitions=[{"name": "worker", "image": plan["container"]["image"], "essential": True}],
            tags=[{"key": key, "value": value} for key, value in plan["tags"].items()],
        )
        return {"taskDefinition": made["taskDefinition"]["taskDefinitionArn"]}

    return handle


STEPS = {"create-queue": create_queue, "dispatch-job": dispatch_job, "register-task": register_task}


def main():
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]
    handle = STEPS[sys.argv[1]]()
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        invocation = api.getresponse()
        event = json.loads(invocation.read())
        answer = json.dumps(handle(event))
        api.request("POST", f"/2018-06-01/runtime/invocation/{invocation.headers['lambda-runtime-aws-request-id']}/response", answer)
        api.getresponse().read()


main()
