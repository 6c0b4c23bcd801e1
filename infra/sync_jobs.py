"""What a state machine may do to start a job of SageMaker and wait for its end, as `createTrainingJob.sync` does.

https://docs.aws.amazon.com/step-functions/latest/dg/sagemaker-iam.html
"""

from typing import Literal

from aws_cdk import Aws, aws_iam


def statements(kind: Literal["Training", "Transform"], jobs: str, role: aws_iam.IRole) -> list[aws_iam.PolicyStatement]:
    """`jobs` are the ARNs of the jobs, which run in `role`. Step Functions tags each as its own, which takes a right
    that the page does not name: https://github.com/aws/aws-cdk/issues/32294
    """
    job, rule = f"{kind}Job", f"rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule"
    return [
        aws_iam.PolicyStatement(
            sid="Jobs",
            actions=[
                f"sagemaker:Create{job}",
                f"sagemaker:Describe{job}",
                f"sagemaker:Stop{job}",
                "sagemaker:AddTags",
                "sagemaker:ListTags",
            ],
            resources=[jobs],
        ),
        aws_iam.PolicyStatement(
            sid="Role",
            actions=["iam:PassRole"],
            resources=[role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        aws_iam.PolicyStatement(
            sid="Ends",
            actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            resources=[f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:{rule}"],
        ),
    ]
